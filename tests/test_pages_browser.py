"""Every page in a real browser: opened from a file, at phone width, without a network."""

import hashlib
import shutil
import subprocess
import tarfile

import pytest

from dfd.files import cache
from dfd.report import explain
from dfd.report.dataset_page import write_dataset_page
from dfd.report.page import write_page
from dfd.report.run_page import write_run_page
from tests import explanations
from tests.runs import HOSTILE, add_distortions, hostile_faces, made_up, write_run

pytestmark = pytest.mark.slow

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
AXE = "axe-core-4.14.1.tgz"
AXE_SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PAGES = ("explain", "run", "two runs", "dataset")


@pytest.fixture(scope="module")
def pages(tmp_path_factory, face_video):
    """Write each page with names, reasons and people that act as code unless they are escaped."""
    folder = tmp_path_factory.mktemp("pages")
    store = hostile_faces(folder, face_video)
    videos = [record for record in store.records() if record.source != "<b>nobody.mp4"]
    run = write_run(folder / "<b>run", [*videos, *made_up(10)], faces=store.folder)
    add_distortions(run)
    other = write_run(folder / "other", made_up(10), seed=3)
    found = {name: folder / f"{name}.html" for name in PAGES}
    write_run_page([run], found["run"])
    write_run_page([run, other], found["two runs"])
    write_dataset_page(store.folder, found["dataset"])
    detector = explanations.bundle()
    write_page(found["explain"], explain.page([explanations.explanation(detector)], detector))
    return found


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: install {BROWSERS[0]}")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root has no sandbox
        yield started
        started.close()


@pytest.fixture
def opened(browser, pages):
    """Return a function that opens a page from its file: (page, errors, requested addresses)."""
    contexts = []

    def open_page(name, size=DESK, **options):
        context = browser.new_context(viewport=size, **options)
        contexts.append(context)
        page, wrong, asked = context.new_page(), [], []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name].as_uri())
        page.wait_for_load_state("load")
        return page, wrong, [url for url in asked if not url.startswith("data:")]

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", PAGES)
def test_pages_raise_no_error_and_load_nothing(opened, pages, name):
    page, wrong, asked = opened(name)
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    assert wrong == []
    assert asked == [pages[name].as_uri()]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_the_width_of_a_phone(opened, name, scheme):
    page, _, _ = opened(name, PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    outside = """[...document.querySelectorAll("body *")].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width && !element.closest(".wide, .skip, svg") && (box.right > innerWidth + 1 || box.left < -1);
    }).map(element => element.outerHTML.slice(0, 90))"""
    assert page.evaluate(outside) == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")


@pytest.mark.parametrize("name", PAGES)
def test_pointing_at_a_mark_shows_its_tip(opened, name):
    page, _, _ = opened(name)
    tip = page.locator("#tip")
    assert tip.is_hidden()
    bars = page.locator("svg.area rect[data-tip], svg.track rect[data-tip]")
    high = "bars => bars.findIndex(bar => bar.getBoundingClientRect().height > 4)"
    shown = bars.nth(bars.evaluate_all(high))
    shown.scroll_into_view_if_needed()
    shown.hover()
    assert tip.is_visible()
    assert tip.inner_text() == shown.get_attribute("data-tip") != ""
    page.mouse.move(2, 2)
    assert tip.is_hidden()


def test_a_timeline_bar_links_to_its_frame(opened):
    page, _, _ = opened("explain")
    for key in ("Tab", "Tab", "ArrowRight"):  # past the skip link, into the first lane
        page.keyboard.press(key)
    assert page.locator("#tip").inner_text().startswith("4.0 to 6.0 s")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "frame-1-2-0"


@pytest.mark.parametrize("name", PAGES)
def test_every_plot_is_navigable_by_keyboard(opened, name):
    page, _, _ = opened(name)
    plots = [plot for plot in page.locator("svg[data-marks]").all() if plot.locator("[data-tip]").count() > 1]
    reached = set()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(200):
        page.keyboard.press("Tab")
        at = page.evaluate("(document.activeElement.closest('svg[data-marks]') || {ariaLabel: ''}).ariaLabel")
        reached.add(at)
        if page.evaluate("document.activeElement === document.body"):
            break
    assert {plot.get_attribute("aria-label") for plot in plots} <= reached
    first, second = plots[0].locator("[data-tip]").all()[:2]
    first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text() == second.get_attribute("data-tip")
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


@pytest.mark.parametrize("name", PAGES)
def test_a_hostile_name_stays_text(opened, name):
    page, wrong, _ = opened(name)
    assert page.get_by_text(explanations.HOSTILE if name == "explain" else HOSTILE).count() > 0
    assert page.locator("body b, body i, body u, main script").count() == 0
    assert wrong == []


A4 = 718
"""Width in CSS pixels of a sheet of A4 within Chromium's usual margins of 1 cm."""
CLOSED = """[...document.querySelectorAll('details > :not(summary)')]
    .filter(inside => !inside.checkVisibility({contentVisibilityAuto: true})).map(inside => inside.textContent)"""


@pytest.mark.parametrize("name", PAGES)
def test_pages_can_be_printed(opened, name):
    page, _, _ = opened(name, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CLOSED) == [], "paper cannot be unfolded"
    page.set_viewport_size({"width": A4, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= A4
    assert page.pdf().startswith(b"%PDF")


@pytest.fixture(scope="module")
def axe():
    """The script of axe-core, an accessibility checker; downloaded from the npm registry on first use."""
    kept = cache() / AXE
    if not kept.is_file():
        name, _, version = AXE.removesuffix(".tgz").rpartition("-")
        fetch = ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", str(kept.parent)]
        try:
            subprocess.run(fetch, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"no axe-core, which npm fetches from its registry: {error}")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == AXE_SHA256, f"{kept} is not {AXE}: delete it"
    with tarfile.open(kept) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode("utf-8")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_pass_the_accessibility_checks(opened, axe, name, scheme):
    page, _, _ = opened(name, color_scheme=scheme)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.evaluate(axe)
    faults = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)")
    serious = [fault for fault in faults if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], [node["html"][:120] for node in fault["nodes"][:3]]) for fault in serious] == []
