"""Displays of a notebook: the rows of a cell's calls, the state of a Cluster, and how often they are sent."""

import threading
import time
from xml.etree import ElementTree

from patience import wait_until

from hpcml.cluster.fleet.job import JobRow
from hpcml.cluster.notebook.facts import ClusterFacts
from hpcml.cluster.notebook.pages import as_html, as_line
from hpcml.cluster.notebook.refresh import Refresh
from hpcml.cluster.notebook.rows import MAX_ROWS, CellRows, Row
from hpcml.cluster.notebook.rows import as_html as rows_as_html
from hpcml.cluster.notebook.rows import as_text as rows_as_text
from hpcml.cluster.notebook.words import count, duration

FACTS = ClusterFacts(
    state="open",
    engine="ipyparallel",
    place="job 7",
    slots={f"n{number}": 28 for number in range(1, 41)} | {"gpu<1>": 2},
    run_dir="/home/u/a & b",
    jobs=(JobRow("7", 41, "RUNNING", seconds_left=5400.0), JobRow("8", 2, "PENDING", "waits for <others>")),
    done=12,
    failed=2,
    recalled=5,
    running=3,
    queued=1000,
    seconds_left=5400.0,
)


def texts(html):
    """Return the texts of a page that is well-formed."""
    return [text.strip() for text in ElementTree.fromstring(html.replace("<br>", "<br/>")).itertext()]


def test_the_table_of_a_cluster_says_what_its_line_says():
    assert as_line(FACTS) == (
        "<hpcml.Cluster: 1,122 slots (28 on each of n[1-40], 2 on gpu<1>), job 7, engine ipyparallel; "
        "7: 41 nodes, RUNNING, 1:30:00 h left; 8: 2 nodes, PENDING (waits for <others>); "
        "tasks: 10 done, 2 failed, 5 from the journal, 3 running, 1,000 queued; 1:30:00 h left>"
    )
    shown = texts(as_html(FACTS))
    for part in ("1,122 slots", "28 on each of n[1-40]", "2 on gpu<1>", "2 nodes, PENDING (waits for <others>)"):
        assert part in shown
    assert "/home/u/a & b" in shown
    assert 'value="17" max="1020"' in as_html(FACTS)


def test_a_closed_cluster_has_no_slots_and_no_time_left():
    closed = ClusterFacts("closed", "local", "this computer", {}, seconds_left=10.0)
    assert as_line(closed) == "<hpcml.Cluster: closed, this computer, engine local>"
    assert "Time left" not in texts(as_html(closed))


def test_a_row_ends_with_its_last_task_and_begins_again_with_another():
    row = Row("f", began=0.0, grows=True)
    row.expect(2)
    row.advance(2, now=5.0)
    assert row.ended == 5.0
    row.expect(1)
    assert (row.ended, row.expected) == (None, 3)


def test_earlier_calls_of_a_cell_are_added_up():
    cell = CellRows({f"map {number}": Row("f", 0.0, done=10, expected=10, ended=1.0) for number in range(100)})
    cell.rows["open"] = Row("g<1>", 0.0, done=1, expected=None)
    cell.fold()
    lines = rows_as_text(cell, now=2.0).splitlines()
    assert lines[0] == "95 earlier calls, 950 tasks"
    assert lines[1:] == ["f: 10 of 10 tasks, 1.0 s, 10 / s"] * MAX_ROWS + ["g<1>: 1 task, 2.0 s, 0.5 / s"]
    assert [text for text in texts(rows_as_html(cell, now=2.0)) if text][-2:] == ["g<1>", "1 task, 2.0 s, 0.5 / s"]


def test_calls_that_go_on_are_marked_when_their_cell_is_interrupted():
    cell = CellRows({"a": Row("f", 0.0, done=3, expected=10), "b": Row("f", 0.0, done=1, expected=1, ended=1.0)})
    assert cell.ended is None
    cell.interrupt(4.0)
    assert rows_as_text(cell, now=9.0).splitlines() == [
        "f: 3 of 10 tasks, 4.0 s, 0.75 / s, interrupted",
        "f: 1 of 1 task, 1.0 s, 1 / s",
    ]
    assert cell.ended == 4.0


def test_changes_are_shown_once_a_while_and_the_last_one_always():
    shown = []
    state = [0]
    refresh = Refresh(lambda: shown.append(state[0]), 0.05)
    for state[0] in range(1, 2001):
        refresh.note()
        if state[0] % 500 == 0:
            time.sleep(0.06)
    wait_until(lambda: shown and shown[-1] == 2000)
    assert len(shown) < 100
    wait_until(lambda: not any(thread.name == "hpcml-refresh" for thread in threading.enumerate()))


def test_a_display_that_fails_is_left_alone():
    def fail():
        raise BrokenPipeError

    refresh = Refresh(fail, 0.01)
    refresh.note()
    refresh.flush()


def test_numbers_in_words():
    assert [count(1, "task"), count(0, "task"), count(12345, "task")] == ["1 task", "0 tasks", "12,345 tasks"]
    assert [duration(seconds) for seconds in (-1, 9.96, 59.6, 3599.7)] == [
        "0.0 s",
        "10.0 s",
        "1:00 min",
        "1:00:00 h",
    ]
