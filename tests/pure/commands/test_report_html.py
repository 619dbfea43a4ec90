"""Page of a report: names in it are harmless, its size stays small."""

import html.parser
import random
import time
import xml.etree.ElementTree as ET

from patience import patient
from reports import SVG, evil, name, report_of, session, task, write

from hpcml.commands.report.command import read_run
from hpcml.commands.report.html import render_html
from hpcml.commands.report.text import render_text

ALLOWED = {"html", "head", "meta", "title", "style", "body", "header", "section", "h1", "h2", "p", "div", "b"}
ALLOWED |= {"span", "code", "table", "tr", "th", "td", "svg", "g", "path", "rect", "text"}


def test_names_cannot_become_markup_of_the_page():
    page = render_html(evil())
    root = ET.fromstring(page)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert "script" not in tags
    assert tags <= ALLOWED
    assert "<script>alert('\"&amp;')</script>\\x1b[31m \\ud800:0" in {element.text for element in root.iter("td")}
    assert all(
        not key.startswith("on") and "://" not in value.replace("http://www.w3.org/2000/svg", "")
        for element in root.iter()
        for key, value in element.attrib.items()
    )


def test_a_browser_finds_no_script_in_the_page():
    found = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append(tag)

    Parser().feed(render_html(evil()))
    assert "script" not in found
    assert "svg" in found


def big(slots, tasks, names=2):
    random.seed(1)
    hosts = {f"n{number}": 4 for number in range(slots // 4)}
    heads = [session(slots=hosts), *(name(number, f"f{number}") for number in range(names))]
    for number in range(tasks):
        error = {"error": "ValueError"} if random.random() < 0.01 else {}
        slot = random.randrange(slots)
        at = f"n{slot // 4}:{slot % 4}"
        heads.append(task(at, 1000 + random.random() * 1000, 0.05, str(number), of=number % names, **error))
    return heads


def test_a_hundred_thousand_tasks_are_reported_in_seconds(tmp_path):
    directory = write(tmp_path / "run", big(12, 100_000), b"")
    began = time.process_time()
    report = read_run(directory)
    page, text = render_html(report), render_text(report)
    assert time.process_time() - began < patient(15)  # 2.5 s when idle
    assert report.done + report.failed == 100_000
    assert len(page) < 2_000_000
    assert page.count("<path") + page.count("<rect") < 500
    assert len(text) < 10_000


def test_the_page_stays_small_with_many_slots_names_deaths_and_sessions():
    heads = big(1000, 5000, names=300)
    heads += [{"death": "n1:1", "t": 1500.0, "cause": "it died", "tasks": ["f0"] * 500}] * 1000
    heads += [session(number, 2000.0 + number) for number in range(2, 300)]
    report = report_of(*heads)
    page, text = render_html(report), render_text(report)
    assert len(page) < 3_000_000
    assert len(text.splitlines()) < 200
    assert text.count("--json has all") == 3
