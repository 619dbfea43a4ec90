"""States of jobs as squeue of several releases prints them, and their reasons in words."""

import pytest

from hpcml.slurm.jobs.reasons import reason_in_words
from hpcml.slurm.jobs.states import FORGOTTEN, Job, job_fields, parse_jobs

END = "\x1f"
# Outputs of squeue, of Slurm 22.05 and 24.11: of a job array's task, and of a job that has failed.
OLD = [
    "2",
    "1_1",
    "RUNNING",
    "None",
    "1:00",
    "0",
    "2026-11-29T16:18:49",
    "2",
    "n[1-2]",
    "main",
    "/d",
    "/d/slurm-2.out",
    "a|b",
]
NEW = [
    "2",
    "1_1",
    "RUNNING",
    "None",
    "1:00",
    "0:0",
    "2026-11-29T16:18:55",
    "2",
    "n[1-2]",
    "main",
    "/d",
    "/d/s-%A_%3a.out",
    "a|b",
]


def test_squeue_is_asked_for_as_many_fields_as_are_read():
    assert len(job_fields().split(",")) == len(OLD) == len(NEW)


def test_both_releases_give_the_same_job():
    old, new = parse_jobs("\n".join(END.join(row) + END for row in (OLD, NEW)))
    assert (old.label, old.state, old.nodelist, old.name, old.exit_code) == (
        "1_1",
        "RUNNING",
        "n[1-2]",
        "a|b",
        (0, 0),
    )
    assert (new.label, new.output, new.exit_code) == ("1_1", "/d/s-1_001.out", (0, 0))
    assert parse_jobs("") == []


@pytest.mark.parametrize(
    ("state", "reason", "code", "status", "words"),
    [
        ("COMPLETED", "", (0, 0), 0, ""),
        ("FAILED", "NonZeroExitCode", (3, 0), 3, "exit status 3"),
        ("FAILED", "RaisedSignal:9(Killed)", (0, 9), 137, "SIGKILL"),
        ("TIMEOUT", "TimeLimit", (0, 15), 143, "--time"),
        ("OUT_OF_MEMORY", "OutOfMemory", (0, 125), 253, "--mem"),
        ("CANCELLED", "", (0, 0), 1, "cancelled"),
        ("NODE_FAIL", "", (0, 0), 1, "a node failed"),
        ("PENDING", "Resources", (0, 0), 1, "waiting for nodes"),
        ("PENDING", "(ReqNodeNotAvail, UnavailableNodes:n1)", (0, 0), 1, "down, drained or reserved"),
        ("PENDING", "JobHeldUser", (0, 0), 1, "scontrol release 7"),
        ("PENDING", "SomethingNew", (0, 0), 1, "SomethingNew"),
        (FORGOTTEN, "", (0, 0), 1, "no longer knows"),
    ],
)
def test_reasons(state, reason, code, status, words):
    job = Job(7, "7", state, reason, exit_code=code)
    assert words in reason_in_words(job)
    assert job.is_over == (state not in ("PENDING", FORGOTTEN))
    if job.is_over:
        assert job.exit_status == status
