"""The page of an explanation in a real browser: from a file, on a phone, by the keyboard, without a network."""

import shutil

import pytest

from dfd.report.explain import page
from tests.explanations import HOSTILE, bundle, explanation

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    detector = bundle()
    out = tmp_path_factory.mktemp("page") / "explain.html"
    out.write_text(page([explanation(detector)], detector), encoding="utf-8")
    return out


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_all_of_it_fits_and_nothing_is_asked_for(browser, file, scheme):
    tab = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    wrong, asked = [], []
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert wrong == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert tab.locator("h1").inner_text() == HOSTILE
    tab.close()


def test_a_bar_tells_its_time_and_leads_to_its_frame(browser, file):
    tab = browser.new_page()
    tab.goto(file.as_uri())
    bars = tab.locator("svg.track").first.locator("[data-tip]")
    bars.nth(0).hover()
    assert tab.locator("#tip").inner_text().startswith("0.0 to 2.0 s, frame 25 at 1.00 s: 0.90")
    for key in ("Tab", "Tab", "ArrowRight"):  # past the link that skips, into the first lane
        tab.keyboard.press(key)
    assert tab.locator("#tip").inner_text().startswith("4.0 to 6.0 s")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "frame-1-2-0"
    tab.close()
