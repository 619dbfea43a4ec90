"""The book in headless Chromium: its search finds pages, and each page fits the width of a phone.

Run with ``make test-book``; needs playwright, and Chromium as Debian has it.
"""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from book import ROOT
from patience import patient

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
DOCS = ROOT / "build" / "docs"
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.html"))
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")


@pytest.fixture(scope="module")
def url():
    """Address of the book."""
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *words: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=DOCS)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """Open Chromium."""
    with (
        playwright.sync_playwright() as api,
        api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as opened,
    ):
        yield opened


@pytest.fixture
def view(browser):
    """Function that opens a page of a width."""

    def opened(width):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(patient(30_000))
        return page

    return opened


def too_wide(page):
    """Return by how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_the_window(view, url, width):
    page = view(width)
    assert "guide/first_search.html" in PAGES, "make docs"
    wide = {}
    for name in PAGES:
        page.goto(f"{url}/{name}")
        if too_wide(page):
            wide[name] = too_wide(page)
    assert wide == {}
    page.set_content('<div style="width: 2000px">x</div>')
    assert too_wide(page) >= 2000 - width


@pytest.mark.parametrize(
    ("words", "found"),
    [("idle_timeout", "api.html"), ("queue", "login_node.html"), ("GridSearchCV", "first_search")],
)
def test_a_word_is_searched_and_its_page_is_found(view, url, words, found):
    page = view(1280)
    page.goto(f"{url}/index.html")
    page.locator("input[name=q]").first.fill(words)
    page.keyboard.press("Enter")
    link = page.locator(f"#search-results a[href*='{found}']").first
    link.click()
    page.wait_for_url(f"**/*{found}*")
    assert words in page.locator("article").inner_text()


def test_the_menu_of_a_phone_leads_to_a_page(view, url):
    page = view(390)
    page.goto(f"{url}/index.html")
    page.locator("header label[for=__navigation]").click()
    page.locator(".sidebar-tree a", has_text="The command line").click()
    page.wait_for_url("**/commands.html")
    assert "hpcml run" in page.locator("article").inner_text()
