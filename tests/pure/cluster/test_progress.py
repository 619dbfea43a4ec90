"""Progress displays: lines, a bar and the closing line."""

import io

from hypothesis import given
from hypothesis import strategies as st

from hpcml.cluster.progress import Bar, Lines, Quiet, Totals, closing_line, display_for


def test_a_line_for_each_tenth():
    file = io.StringIO()
    lines = Lines(file)
    for done in range(1, 401):
        lines.update("search", done, 400)
    shown = file.getvalue().splitlines()
    assert shown == [f"hpcml: {40 * tenth} of 400 tasks done ({10 * tenth} %)" for tenth in range(1, 11)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200))
def test_at_most_ten_lines_and_the_last_is_100_percent(batches):
    file, total, done = io.StringIO(), sum(batches), 0
    lines = Lines(file)
    for batch in batches:
        done += batch
        lines.update("search", done, total)
    shown = file.getvalue().splitlines()
    assert 1 <= len(shown) <= 10
    assert shown[-1] == f"hpcml: {total} of {total} tasks done (100 %)"


def test_lines_at_doublings_where_the_total_is_unknown():
    file = io.StringIO()
    lines = Lines(file)
    for done in range(1, 100):
        lines.update("search", done, None)
    assert file.getvalue().split("\n")[:-1] == [f"hpcml: {done} tasks done" for done in (16, 32, 64)]


def test_a_bar_for_terminals_lines_for_files():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    bar = display_for(True, terminal)
    assert isinstance(bar, Bar)
    bar.update("search", 30, 120)
    bar.update("search", 60, 120)
    bar.close()
    assert "/120" in terminal.getvalue()
    assert isinstance(display_for(True, io.StringIO()), Lines)
    assert isinstance(display_for(False, terminal), Quiet)


def test_the_closing_line_has_busy_share_and_core_hours():
    totals = Totals(tasks=10, failed=1, busy=36.0, slots=2, hosts=1, cpus_per_slot=4, opened=5.0, allocated_cpus=8)
    # 36 s on 4 CPUs is 0.04 core-hours; 8 CPUs for 20 s are 0.0444; 36 s of 2 x 20 s are 90 %
    assert closing_line(totals, 25.0) == (
        "hpcml: 10 tasks, 1 failed on 2 slots of 1 host in 20.0 s, 90 % busy, 0.0400 of 0.0444 core-hours used"
    )


def test_many_short_calls_do_not_fill_a_log():
    file = io.StringIO()
    lines = Lines(file)
    for group in range(100):
        for done in range(1, 11):
            lines.update(f"map {group}", done, 10)
    assert len(file.getvalue().splitlines()) == 30
