"""Graders of broken jobs: good results pass, each mistake fails its own check, and the word comes first."""

import json
import math

import pytest

from hpcml.commands.main import main
from hpcml.commands.tutorial.command import grade_results
from hpcml.commands.tutorial.exercises import broken_jobs, find
from hpcml.commands.tutorial.graders.broken import (
    FAULTS,
    completed,
    half_done,
    lost_table,
    no_speedup,
    repeated_lines,
    slower_than_one,
    small_input_only,
    too_sure,
    works_by_hand,
    wrong_sum,
)

GOOD = {
    works_by_hand: lambda: {"means": works_by_hand._means(4), "environment": "/v", "environments": ["/v"]},
    slower_than_one: lambda: {
        "cpus_per_task": 1,
        "threads": 1,
        "eigenvalues": slower_than_one._eigenvalues(24),
    },
    small_input_only: lambda: {"points": 12_000, "means": small_input_only._means(2), "peak_mb": 300},
    wrong_sum: lambda: {"tasks_per_node": "3,1", "rows": 4, "shares": [0, 1, 2, 3], "sum": 0 + 1 + 4 + 9},
    repeated_lines: lambda: {"primes": [9592] + [0] * 8 + [8392], "processes": 2},  # below 100,000, 200,000
    too_sure: lambda: {"estimates": [3 + number / 100 for number in range(100)], "pi": math.pi, "error": 0.0016},
    completed: lambda: {"trends": completed._trends()},
    lost_table: lambda: {"seeds": [1, 2], "rows": [20, 20], "means": lost_table._means()},
    half_done: lambda: {"count": 24, "measurements": [number**2 for number in range(24)]},
    no_speedup: lambda: {
        "words": 20_000,
        "counts": no_speedup._counts(20_000),
        "nodes": 2,
        "sent_bytes": 2 * 36 * 20_000,
    },
}
MISTAKES = [
    (works_by_hand, {"environments": ["/usr", "/v"]}, {"environment of the simulations"}),
    (works_by_hand, {"means": []}, {"means"}),
    (slower_than_one, {"threads": 2}, {"threads of a task"}),
    (slower_than_one, {"threads": 0}, {"threads of a task"}),
    (slower_than_one, {"eigenvalues": []}, {"eigenvalues"}),
    (small_input_only, {"peak_mb": 2400}, {"memory of a worker"}),
    (small_input_only, {"points": 1000, "means": []}, {"points of a cloud", "mean distances"}),
    (wrong_sum, {"shares": [0, 1, 2, 2], "sum": 9}, {"shares", "sum of all rows"}),
    (wrong_sum, {"shares": [], "rows": 10**100, "sum": 0}, {"shares", "sum of all rows"}),
    (repeated_lines, {"processes": 1}, {"processes"}),
    (repeated_lines, {"primes": [1e100]}, {"parts", "number of primes"}),
    (too_sure, {"estimates": [3.1] * 100}, {"estimates of the tasks"}),
    (too_sure, {"error": 0}, {"error of the mean"}),
    (too_sure, {"pi": 3.154}, {"pi"}),
    (completed, {"trends": [0.0] * 5}, {"trends"}),
    (lost_table, {"seeds": [2], "rows": [20]}, {"seeds of the tables", "rows of the tables"}),
    (half_done, {"count": 10**100, "measurements": []}, {"measurements", "values"}),
    (no_speedup, {"sent_bytes": 28_800_000}, {"bytes that were sent"}),
    (no_speedup, {"nodes": 1}, {"bytes that were sent"}),
]


@pytest.mark.parametrize(
    ("module", "changes", "names"),
    [*((module, {}, set()) for module in GOOD), *MISTAKES],
    ids=range(len(GOOD) + len(MISTAKES)),
)
def test_each_mistake_fails_its_own_check(module, changes, names):
    results = GOOD[module]() | changes
    assert set(module.FIELDS) == {"fault", *results}
    assert {check.name for check in module.grade(results) if not check.passed} == names


def test_each_job_has_a_word_of_its_own():
    assert sorted(module.FAULT for module in GOOD) == list(FAULTS)
    assert len(broken_jobs()) == len(FAULTS)


def graded(directory, results, ends):
    """Return the failed checks of broken job 7 in a student's folder."""
    job = find("broken-7")
    (directory / "results").mkdir(exist_ok=True)
    (directory / job.results).write_text(json.dumps(results))
    (directory / job.ends).write_text(json.dumps({"ends": ends}))
    return [check for check in grade_results(job, directory) if not check.passed]


def test_other_checks_follow_the_right_word(tmp_path):
    """Their names and hints would give it away."""
    (failed,) = graded(tmp_path, {"fault": "", "trends": []}, ["0", "0"])
    assert (failed.name, failed.found) == ("name of the fault", "no word")
    assert "status" not in failed.expected
    (failed,) = graded(tmp_path, {"fault": "status", "trends": []}, ["1", "0"])
    assert failed.name == "trends"


@pytest.mark.parametrize(
    ("ends", "found"),
    [
        (["0", "0"], ["exit status 0"]),
        (["1", "the time limit"], ["the time limit"]),
        (["the time limit", "143"], ["the time limit", "exit status 143"]),
        ([], ["no run", "no run"]),
        (["\x1b[31m", "0", "0"], ["\x1b[31m"]),
    ],
)
def test_a_job_ends_as_its_runs_ask(tmp_path, ends, found):
    good = {"fault": "status", **GOOD[completed]()}
    assert [check.found for check in graded(tmp_path, good, ends)] == found


def test_a_class_is_graded_by_what_its_jobs_have_left(tmp_path, capsys):
    """The folders of a class may be those of the repository, or as they were copied; a job may have failed."""
    job = find("broken-07")
    for name, folder in (("ann", job.folder), ("bob", "07_completed"), ("eve", ".")):
        place = tmp_path / name / folder
        place.mkdir(parents=True)
        graded(place, {"fault": "status", **GOOD[completed]()}, ["1", "0"])
    (tmp_path / "eve" / job.results).unlink()
    assert main(["tutorial", "grade", *(str(tmp_path / name) for name in ("ann", "bob", "eve"))]) == 0
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert [[cell.strip() for cell in row if cell] for row in rows[0:1] + rows[2:]] == [
        ["student", job.folder, "first failed check"],
        ["ann", "4 of 4"],
        ["bob", "4 of 4"],
        ["eve", "2 of 3", "broken-07: results"],
    ]


def test_a_job_that_was_not_run_by_the_check_says_so(tmp_path):
    graded(tmp_path, {"fault": "status", **GOOD[completed]()}, [])
    (tmp_path / find("broken-07").ends).unlink()
    (failed,) = (check for check in grade_results(find("broken-07"), tmp_path) if not check.passed)
    assert (failed.name, "No such file" in failed.found) == ("end of the job", True)
