"""Answers of Slurm about a job, and the commands that ask for them."""

import datetime

import pytest

from hpcml.errors import CommandError
from hpcml.slurm import queries
from hpcml.slurm.queries import end_time, is_job_over, parse_end_time, parse_time_left, requeue_job, time_left

OUTSIDE = {"PATH": "/bin", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "12"}
STEP = {"PATH": "/bin", "SLURM_JOB_ID": "7", "SLURM_EXIT_ERROR": "113"}


@pytest.fixture
def slurm(monkeypatch):
    """Return a function that sets the next answer, and the list of calls."""
    calls = []

    def answer_with(answer):
        def run(argv, env=None, timeout=30.0):
            calls.append((argv, env, timeout))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(queries, "run", run)

    answer_with.calls = calls
    return answer_with


def test_whether_a_job_is_over(slurm):
    def asked(answer):
        slurm(answer)
        return is_job_over("1", {})

    assert asked("") is True
    assert asked("PENDING\n") is True
    assert asked("REQUEUE_HOLD\n") is True
    assert asked("RUNNING\n") is False
    assert asked("COMPLETING\n") is False
    assert asked(CommandError("slurm_load_jobs error: Invalid job id specified")) is True
    assert asked(CommandError("Unable to contact slurm controller")) is None


def test_each_question_is_one_command_without_the_variables_of_the_outer_step(slurm):
    slurm("1:00")
    is_job_over("7", OUTSIDE)
    time_left("7", OUTSIDE)
    end_time(7)
    requeue_job("7", OUTSIDE)
    assert slurm.calls == [
        (["squeue", "--noheader", "--jobs=7", "--format=%T"], STEP, 10.0),
        (["squeue", "--noheader", "--jobs=7", "--format=%L"], STEP, 10.0),
        (["squeue", "--noheader", "--jobs=7", "--Format=EndTime"], None, 10.0),
        (["scontrol", "requeue", "7"], STEP, 20.0),
    ]


def test_the_time_left_is_in_seconds(slurm):
    slurm("1-02:03:04\n")
    assert time_left("7", {}) == 93784.0
    slurm("UNLIMITED\n")
    assert time_left("7", {}) is None


@pytest.mark.parametrize("text", ["", "INVALID", "NOT_SET\n"])
def test_a_text_that_is_no_time_is_an_error(text):
    with pytest.raises(ValueError):
        parse_time_left(text)


def test_end_time(slurm):
    moment = datetime.datetime(2026, 11, 21, 3, 30, 5)
    assert parse_end_time("2026-11-21T03:30:05 \n") == moment.timestamp()
    assert parse_end_time("N/A\n") is None
    assert parse_end_time("") is None
    slurm(CommandError("Unable to contact slurm controller"))
    assert end_time(7) is None


def test_a_refused_requeue_is_an_error(slurm):
    slurm(CommandError("Requested operation is presently disabled"))
    with pytest.raises(CommandError):
        requeue_job("7", {})


def test_a_job_that_slurm_has_requeued_itself_is_in_the_queue(slurm):
    """As seen in 24.11, after ``scontrol requeue`` or a preemption."""
    slurm(CommandError("Job is pending execution for job 7"))
    requeue_job("7", {})
