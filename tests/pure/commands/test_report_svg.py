"""Pictures of a report: one group for each slot, a mark for each death and failure, names escaped."""

import re
import xml.etree.ElementTree as ET

from reports import SVG, evil, report_of, session, two_sessions

from hpcml.commands.report.svg import COLOURS, OTHER, busy_picture, colour_of, duration_picture, timeline_picture


def test_the_timeline_has_a_titled_group_for_each_slot():
    picture = ET.fromstring(timeline_picture(report_of(*two_sessions())))
    titles = [group.findtext(f"{SVG}title") for group in picture.iter(f"{SVG}g")]
    assert [title.partition(":")[2].partition(":")[0] for title in titles[:4]] == ["0", "1", "0", "1"]
    assert titles[0] == "n1:0: 2 tasks, 30 % busy, memory 150 MB"
    assert titles[4].startswith("session 1: requeued; session 2 began 16 min 30 s later, ")


def test_the_timeline_marks_the_death_and_the_failure():
    picture = ET.fromstring(timeline_picture(report_of(*two_sessions())))
    marks = {
        kind: [path.get("d") != "" for path in picture.iter(f"{SVG}path") if path.get("class") == kind]
        for kind in ("died", "failed")
    }
    assert marks == {"died": [False, False, True, False], "failed": [False, True, False, False]}


def test_the_histogram_counts_all_tasks():
    titles = re.findall(r"<title>([\d,]+) tasks? of", duration_picture(report_of(*two_sessions())))
    assert sum(map(int, titles)) == 5
    assert duration_picture(report_of(session())) == ""


def test_functions_after_the_busiest_share_a_colour():
    assert colour_of(COLOURS - 1) == f"f{COLOURS - 1}"
    assert colour_of(COLOURS) == colour_of(99) == OTHER


def test_pictures_of_names_with_markup_are_well_formed():
    for draw in (timeline_picture, busy_picture, duration_picture):
        picture = ET.fromstring(draw(evil()))
        assert {element.tag for element in picture.iter()} <= {
            f"{SVG}{tag}" for tag in ("svg", "title", "g", "path", "text", "rect")
        }
