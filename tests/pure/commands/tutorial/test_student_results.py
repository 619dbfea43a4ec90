"""Results of students are data: hostile files are refused, and each field has its kind."""

import json
import os

import pytest

from hpcml.commands.tutorial.checks import at_least, close, same
from hpcml.commands.tutorial.exercises import exercises
from hpcml.commands.tutorial.results import (
    NoResults,
    flag,
    number,
    numbers,
    read_results,
    table,
    text,
    texts,
    whole,
)
from hpcml.commands.tutorial.text import class_rows, class_table, listing, outcome, schema

FIELDS = {"slots": whole("of the Cluster"), "scores": numbers("of all")}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "01.json"


def test_fields_of_the_schema_are_returned_and_no_others(path):
    path.write_text(json.dumps({"slots": 2, "scores": [0.5, 1], "other": "ignored"}))
    assert read_results(path, FIELDS) == {"slots": 2, "scores": [0.5, 1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"\x80\x04\x95pickle", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"slots": 2}', "has no scores: a list of numbers, of all"),
        (b'{"slots": -1, "scores": []}', "slots in .* is not a whole number"),
        (b'{"slots": true, "scores": []}', "slots in .* is not a whole number"),
        (b'{"slots": 2, "scores": [NaN]}', "scores in .* is not a list of numbers"),
        (b'{"slots": 2, "scores": [1e999]}', "scores in .* is not a list of numbers"),
        (b'{"slots": 2, "scores": ["1"]}', "scores in .* is not a list of numbers"),
        (b" " * (5 << 20), "is not a file of up to 4 MB"),
    ],
    ids=range(11),
)
def test_other_content_is_refused_with_what_is_expected(path, content, message):
    path.write_bytes(content)
    with pytest.raises(NoResults, match=message):
        read_results(path, FIELDS)


def test_pipes_and_links_are_not_opened(path, tmp_path):
    with pytest.raises(NoResults, match="No such file"):
        read_results(path, FIELDS)
    os.mkfifo(path)
    with pytest.raises(NoResults, match="is not a file"):
        read_results(path, FIELDS)
    path.unlink()
    (tmp_path / "other").write_text("{}")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(NoResults, match="cannot be read"):
        read_results(path, FIELDS)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (whole(""), [0, 7], [1.0, -1, True, "1", None, 10**400]),
        (number(""), [0, -1.5], [float("inf"), "1", False, 10**400]),
        (numbers(""), [[], [1, 2.5]], [[[1]], [None], 1]),
        (table(""), [[], [[1], []]], [[1], [["1"]]]),
        (text(""), ["", "a"], [1, "a" * 1001]),
        (texts(""), [[], ["a"]], ["a", [1]]),
        (flag(""), [True, False], [0, 1, "true"]),
    ],
)
def test_kinds_of_fields(field, good, bad):
    assert all(map(field.fits, good))
    assert not any(map(field.fits, bad))


def test_checks_say_what_was_expected_and_found():
    assert (same("a", 1, 1, "").passed, at_least("b", 0.5, 0.5, "").passed) == (True, True)
    assert not at_least("b", 0.4, 0.5, "").passed
    assert not close("c", [1.0], [1.0, 2.0], "").passed
    assert not close("c", [float("nan")], [1.0], "").passed
    wrong = close("c", [1.0, 2.5], [1.0, 2.0], "the hint")
    assert wrong.found == "2.5 in place of 2 (number 2 of 2)"
    shown = outcome(exercises()[0], [same("first", 1, 1, ""), wrong])
    assert shown.splitlines()[2:] == [
        "passed  first",
        "FAILED  c",
        "        expected  2 numbers of one process",
        "        found     2.5 in place of 2 (number 2 of 2)",
        "        hint      the hint",
        "",
        "1 of 2 checks passed",
    ]


def test_what_a_student_writes_cannot_steer_a_terminal_or_a_spreadsheet():
    (exercise, *_) = exercises()
    hostile = same("check", "\x1b[31mred\n", "a", "hint")
    assert "\x1b" not in outcome(exercise, [hostile])
    rows = class_rows({"=1+1": {"1": [hostile]}, "ann": {}}, [exercise])
    assert rows[1:] == [["'=1+1", "0 of 1", "1: check"], ["ann", "", ""]]
    assert "ann" in class_table(rows)


def test_the_lists_of_exercises_and_of_fields():
    assert exercises()[0].title in listing(exercises())
    assert "slots   a whole number" in schema(exercises()[0], FIELDS)
