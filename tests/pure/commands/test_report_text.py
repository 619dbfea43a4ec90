"""Text of a report: it fits the terminal, and names in it are harmless."""

import pytest
from reports import evil, report_of, two_sessions

from hpcml.commands.report.text import render_text


def test_names_cannot_control_the_terminal():
    text = render_text(evil())
    assert all(char.isprintable() or char == "\n" for char in text)
    text.encode()
    assert "\\x1b[31m" in text


@pytest.mark.parametrize("width", [20, 80, 100, 500])
def test_lines_fit_the_terminal(width):
    heads = two_sessions()
    heads[5]["cause"] = "a long story " * 50
    lines = render_text(report_of(*heads), width).splitlines()
    assert max(map(len, lines)) <= min(max(width, 80), 100)


def test_the_text_can_be_ascii():
    text = render_text(report_of(*two_sessions()), 80, encoding="ascii")
    assert text.isascii()
    assert "n1:0  ######:-#######-" in text


def test_the_timeline_marks_deaths_and_failures():
    text = render_text(report_of(*two_sessions()), 80)
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("n")}
    assert "X" in lines["n2:0"]
    assert "!" in lines["n1:1"]
    assert lines["n1:0"].split()[-5:] == ["30", "%", "2", "150", "MB"]


def test_the_first_lines_are_the_totals():
    first, second, *_ = render_text(report_of(*two_sessions(), run=".hpcml/x")).splitlines()
    assert first == ".hpcml/x: 4 tasks done, 1 failed (1 done later), 1 worker died, 2 sessions"
    assert second == "25 % busy for 30 s, 4 slots on n1, n2, 0.0167 of 0.0667 core-hours used"
