"""Timeline of a report: its grid, its rows, and the histogram of durations."""

import pytest
from reports import end, report_of, session, task, two_sessions

from hpcml.commands.report.timeline import busy_slots, histogram, make_grid, make_rows


def test_the_grid_has_the_busy_share_of_each_cell():
    report = report_of(*two_sessions())
    grid = make_grid(report, make_rows(report, 10), 6)  # of 5 s
    assert [[round(cell.share, 3) for cell in line] for line in grid] == [
        [0.8, 1, 0, 0, 0, 0],
        [0.6, 0, 0.6, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert [(row, cell) for row in range(4) for cell in range(6) if grid[row][cell].died] == [(2, 1)]
    assert [(row, cell) for row in range(4) for cell in range(6) if grid[row][cell].failed] == [(1, 0)]
    assert grid[2][2].function == 1
    columns = busy_slots(grid)
    assert [round(busy, 3) for busy, _ in columns] == [1.4, 1, 1.6, 2, 0, 0]
    assert {there for _, there in columns} == {4}


def test_a_slot_is_present_in_its_own_sessions_only():
    report = report_of(session(slots={"a": 1}), end(1010.0), session(2, 2000.0, slots={"b": 1}), end(2010.0))
    grid = make_grid(report, make_rows(report, 10), 2)
    assert [[cell.present for cell in line] for line in grid] == [[1, 0], [0, 1]]


def test_rows_are_hosts_where_there_are_many_slots():
    report = report_of(session(slots={f"n{number}": 8 for number in range(100)}), end(1001.0))
    assert [row.label for row in make_rows(report, 800)][:2] == ["n0:0", "n0:1"]
    assert [row.label for row in make_rows(report, 100)][:2] == ["n0 (8 slots)", "n1 (8 slots)"]
    rows = make_rows(report, 48)
    assert len(rows) == 34
    assert rows[0].label == "n0 to n2 (24 slots)"
    assert sorted(slot for row in rows for slot in row.slots) == list(range(800))


def test_the_histogram_has_logarithmic_bins():
    tasks = [task("n1:0", 1000.0, seconds) for seconds in (1, 3, 5, 50, 100)]
    report = report_of(session(), *tasks, end(2000.0))
    edges, counts = histogram(report, bins=2)
    assert edges == pytest.approx([1, 10, 100])
    assert counts == [3, 2]
    same = report_of(session(), task("n1:0", 1000.0, 2.0), task("n1:0", 1002.0, 2.0), end(2000.0))
    assert histogram(same) == ([2, 2], [2])
