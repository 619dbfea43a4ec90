"""The book is built without a warning, and its links lead to pages and places that are there."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from book import BOOK
from patience import patient

pytest.importorskip("sphinx", reason="the extra docs is not installed")
BUILD_SECONDS = 120


class Links(HTMLParser):
    """Links of a page to the pages and files of the book, and the places that it has itself."""

    def __init__(self, page):
        super().__init__()
        self.links, self.places = set(), set()
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.places.add(given.get("id"))
        link = urlsplit(given.get("href") or given.get("src") or "")
        if not link.scheme and not link.netloc and (link.path or link.fragment):
            self.links.add((unquote(link.path), unquote(link.fragment)))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder of the book's pages."""
    place = tmp_path_factory.mktemp("book")
    words = ["--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", place / "doctrees"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words, BOOK, place / "docs"],
        capture_output=True,
        text=True,
        timeout=patient(BUILD_SECONDS),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return place / "docs"


def broken(folder):
    """Return the links that lead nowhere, each with the page that has it."""
    pages = {page: Links(page) for page in folder.rglob("*.html")}
    found = []
    for page, facts in pages.items():
        for path, place in facts.links:
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (place and target in pages and place not in pages[target].places):
                found.append((page.relative_to(folder).as_posix(), f"{path}#{place}"))
    return found


def test_links_between_the_pages_lead_somewhere(built):
    assert len(list(built.rglob("*.html"))) > 20
    assert broken(built) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    Path(tmp_path, "a.html").write_text('<p id="here"><a href="b.html#there"></a><a href="#here"></a></p>')
    Path(tmp_path, "b.html").write_text('<img src="no.png"><a href="https://elsewhere.org/"></a><a href="a.html">')
    assert sorted(broken(tmp_path)) == [("a.html", "b.html#there"), ("b.html", "no.png#")]


def test_every_exercise_has_a_page_with_its_picture(built):
    folders = [path.parent for path in BOOK.parent.glob("[0-9]*/README.rst")]
    assert len(folders) > 6
    for folder in folders:
        page = (built / "exercises" / f"{folder.name}.html").read_text()
        assert re.search(r'<img [^>]*src="[^"]*expected\d*\.png"', page)
        assert f"hpcml tutorial start {int(folder.name[:2])} " in re.sub("<[^>]*>", "", page)


def test_the_page_of_the_commands_has_all_options_of_their_help(built):
    page = re.sub("<[^>]*>", "", (built / "commands.html").read_text())

    def shown(*words):
        command = [sys.executable, "-m", "hpcml", *words, "--help"]
        return subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=True).stdout

    names = re.findall(r"^    (\w+) ", shown(), re.MULTILINE)
    assert {"run", "submit", "tutorial"} < set(names)
    options = {option for name in names for option in re.findall(r"--[a-z-]+", shown(name))}
    options |= set(re.findall(r"--[a-z-]+", shown("tutorial", "check")))
    assert {"--resume", "--dry-run", "--no-run"} < options
    assert [name for name in names if f"hpcml {name}" not in page] == []
    assert [option for option in sorted(options - {"--help"}) if option not in page] == []
