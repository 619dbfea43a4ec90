"""Reports of journals that are incomplete, damaged or of a run that has not ended."""

import json
import xml.etree.ElementTree as ET

import pytest
from reports import end, name, report_of, session, task, two_sessions, write

from hpcml.commands.report.advice import advise
from hpcml.commands.report.command import plain_data, read_run
from hpcml.commands.report.from_journal import make_report
from hpcml.commands.report.html import render_html
from hpcml.commands.report.text import render_text
from hpcml.journal.records import HEADER_BYTES, Damage, Record


@pytest.mark.parametrize("heads", [[], [session()], [end(1000.0)], [session(), end(1000.0)], [name(0, "f")]])
def test_a_run_without_tasks_has_a_report(heads):
    report = report_of(*heads)
    assert "no task has ended yet" in render_text(report)
    ET.fromstring(render_html(report))
    json.dumps(plain_data(report))


def test_a_run_that_has_not_ended_has_a_report():
    report = report_of(*two_sessions()[:-1])
    assert report.sessions[-1].end_reason == "no end yet"
    assert report.sessions[-1].wall == 10  # until the end of the last recorded task
    assert "the last session has no end yet" in render_text(report)
    assert "so far" in advise(report)[-1].reason


def test_the_number_of_expected_tasks_is_that_of_the_last_session():
    expected = [{"expect": "map #0", "tasks": 7}, {"expect": "map #0", "tasks": 9}, {"expect": "f #1", "tasks": 3}]
    heads = [session(), *expected, session(2, 2000.0), *expected[1:], task("n1:0", 2000.0, 1.0)]
    report = report_of(*heads)
    assert (report.done, report.expected) == (1, 12)
    assert "1 task done of 12" in render_text(report)


def test_a_killed_session_is_cut_off():
    heads = [session(), task("n1:0", 1000.0, 1.0), session(2, 2000.0, job="8"), end(2001.0)]
    report = report_of(*heads)
    assert report.sessions[0].end_reason == "cut off"
    assert "tasks that were running when session 1 ended are not recorded" in render_text(report)


def test_a_session_whose_record_is_lost_is_rebuilt_from_its_tasks():
    report = report_of(task("n1:0", 1005.0, 2.0), task("n1:3", 1001.0, 3.0), end(1010.0))
    (only,) = report.sessions
    assert (only.began, only.ended, only.end_reason, only.tasks) == (1001, 1010, "ended", 2)
    assert [slot.name for slot in report.slots] == ["n1:0", "n1:3"]
    assert report.functions[0].name == "(name 0 is lost)"


def test_records_after_an_end_are_another_session():
    report = report_of(session(), end(1010.0), task("n1:0", 2000.0, 5.0), end(2007.0))
    times = [(found.number, found.began, found.wall) for found in report.sessions]
    assert times == [(1, 1000, 10), (2, 2000, 7)]


def test_an_end_without_a_beginning_ends_nothing():
    assert [found.end_reason for found in report_of(session(), end(1010.0), end(9999.0)).sessions] == ["ended"]


def test_an_outcome_without_times_is_counted():
    report = report_of(session(), task("n1:0", 0.0, 0.0, m=0, error="TaskError"), end(1010.0))
    assert (report.failed, report.wall, report.off_clock) == (1, 10, 0)
    ET.fromstring(render_html(report))
    assert report_of(task("n1:0", 0.0, 0.0), task("n1:0", 1000.0, 2.0)).wall == 2


def test_tasks_outside_of_their_session_are_counted_and_reported():
    report = report_of(session(), task("n1:0", 5000.0, 3.0), task("n1:1", 20.0, 3.0), end(1010.0))
    assert report.off_clock == 2
    assert sum(report.levels.values()) == pytest.approx(10)
    assert "clocks of hosts differ" in render_text(report)
    ET.fromstring(render_html(report))


def test_damage_is_reported_with_its_offset():
    items = [Damage(48, 20, False), *(Record(head, 0, 0) for head in two_sessions()), Damage(9000, 7, True)]
    report = make_report(items)
    assert "20 bytes of the journal at offset 48 are damaged" in render_text(report)
    assert "the last 7 bytes of the journal at offset 9,000 are no whole record" in render_text(report)


def test_a_journal_cut_anywhere_has_a_report(tmp_path):
    directory = write(tmp_path / "run", two_sessions())
    whole = (directory / "journal").read_bytes()
    for size in range(HEADER_BYTES, len(whole), 7):
        with open(directory / "journal", "r+b") as file:
            file.truncate(0)
            file.write(whole[:size])
        report = read_run(directory)
        render_text(report)
        ET.fromstring(render_html(report))
        json.dumps(plain_data(report))
    assert report.done == 4


def test_a_journal_damaged_anywhere_has_a_report(tmp_path):
    directory = write(tmp_path / "run", two_sessions())
    whole = (directory / "journal").read_bytes()
    for place in range(HEADER_BYTES, len(whole), 31):
        (directory / "journal").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        report = read_run(directory)
        assert len(report.damages) == 1
        assert "bytes of the journal" in render_text(report)
        ET.fromstring(render_html(report))


def test_no_body_is_unpickled(tmp_path):
    bomb = b"cos\nsystem\n(S'touch " + bytes(tmp_path / "bomb") + b"'\ntR."
    report = read_run(write(tmp_path / "run", two_sessions(), bomb))
    assert report.done == 4
    assert not (tmp_path / "bomb").exists()
