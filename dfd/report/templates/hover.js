// Shows the words of what is pointed at. A plot is one stop of the Tab key; arrows, Home and End move inside it,
// Enter goes to what a mark links to, Escape hides the words.
(() => {
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  const show = (mark) => {
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = box.left + box.width / 2 - own.width / 2, above = box.top - own.height - 8;
    tip.style.left = Math.max(4, Math.min(left, document.documentElement.clientWidth - own.width - 4)) + "px";
    tip.style.top = (above < 4 ? box.bottom + 8 : above) + "px";
  };
  const go = (mark) => {
    const target = (mark.dataset.link || "").startsWith("#") && document.getElementById(mark.dataset.link.slice(1));
    if (target) { hide(); target.scrollIntoView({ block: "center" }); target.focus({ preventScroll: true }); }
  };
  for (const plot of document.querySelectorAll("[data-marks]")) {
    const marks = [...plot.querySelectorAll("[data-tip]")];
    if (!marks.length) continue;
    marks[0].tabIndex = 0;
    plot.addEventListener("keydown", (event) => {
      const at = marks.indexOf(event.target), last = marks.length - 1;
      const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
      if (event.key === "Enter") go(event.target);
      if (to === undefined || at < 0) return;
      event.preventDefault();
      const next = marks[Math.max(0, Math.min(last, to))];
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    plot.addEventListener("click", (event) => { if (event.target.dataset.tip) go(event.target); });
  }
  const over = (event) => { if (event.target.dataset && event.target.dataset.tip) show(event.target); else hide(); };
  document.addEventListener("mouseover", over);
  document.addEventListener("focusin", over);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
