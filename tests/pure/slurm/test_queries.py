"""Answers of Slurm about a job, and the commands that ask for them."""

import datetime

import pytest

from hpcml.errors import CommandError
from hpcml.slurm import queries
from hpcml.slurm.queries import (
    end_time,
    is_job_over,
    job_gpus,
    parse_end_time,
    parse_time_left,
    requeue_job,
    time_left,
)

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
    assert asked("1|1|PENDING\n") is True
    assert asked("1|1|REQUEUE_HOLD\n") is True
    assert asked("1|1|RUNNING\n") is False
    assert asked("1|1|COMPLETING\n") is False
    assert asked(CommandError("slurm_load_jobs error: Invalid job id specified")) is True
    assert asked(CommandError("Unable to contact slurm controller")) is None


def test_each_question_is_one_command_without_the_variables_of_the_outer_step(slurm):
    slurm("7|7|1:00")
    is_job_over("7", OUTSIDE)
    time_left("7", OUTSIDE)
    end_time("7")
    requeue_job("7", OUTSIDE)
    assert slurm.calls == [
        (["squeue", "--noheader", "--jobs=7", "--format=%i|%A|%T"], STEP, 10.0),
        (["squeue", "--noheader", "--jobs=7", "--format=%i|%A|%L"], STEP, 10.0),
        (["squeue", "--noheader", "--jobs=7", "--format=%i|%A|%e"], None, 10.0),
        (["scontrol", "requeue", "7"], STEP, 20.0),
    ]


def test_the_time_left_is_in_seconds(slurm):
    slurm("7|7|1-02:03:04\n")
    assert time_left("7", {}) == 93784.0
    slurm("7|7|UNLIMITED\n")
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
    assert end_time("7") is None


def test_a_refused_requeue_is_an_error(slurm):
    slurm(CommandError("Requested operation is presently disabled"))
    with pytest.raises(CommandError):
        requeue_job("7", {})


def test_a_job_that_slurm_has_requeued_itself_is_in_the_queue(slurm):
    """As seen in 24.11, after ``scontrol requeue`` or a preemption."""
    slurm(CommandError("Job is pending execution for job 7"))
    requeue_job("7", {})


def test_an_element_of_an_array_is_asked_about_alone(slurm):
    """As squeue of 22.05 and 24.11 print all elements for the id of an array, which one of them has, too."""
    slurm("7_1|7|59:30\n7_0|8|1:00:00\n")
    assert (time_left("7", {}), time_left("7_1", {}), time_left("8", {})) == (3570.0, 3570.0, 3600.0)
    slurm("7_1|7|PENDING\n7_0|8|RUNNING\n")
    assert (is_job_over("7", {}), is_job_over("8", {})) == (True, False)
    slurm("7_0|8|RUNNING\n")
    assert is_job_over("7", {}) is True
    slurm("7_0|8|N/A\n7_1|7|2026-11-21T03:30:05\n")
    assert end_time("7_1") == datetime.datetime(2026, 11, 21, 3, 30, 5).timestamp()


def test_a_heterogeneous_job_is_asked_about_by_its_first_component(slurm):
    slurm("7+0|7|4:58\n7+1|8|4:57\n")
    assert time_left("7", {}) == 298.0
    slurm("7+0|7|PENDING\n7+1|8|PENDING\n")
    assert is_job_over("7", {}) is True


def test_the_gpus_of_another_element_are_not_counted(slurm):
    held = "Nodes=n1 CPU_IDs=0-1 Mem=400 GRES=gpu:2(IDX:{}) TresPerNode=gres:gpu:2"
    lines = [f"JobId={7 + task} ArrayJobId=7 ArrayTaskId={1 - task} {held}" for task in (0, 1)]
    slurm("\n".join((lines[0].format("0-1"), lines[1].format("2-3"))))
    assert [job_gpus(job, {}).describe("n1") for job in ("7", "7_1", "8")] == ["2 (0-1)", "2 (0-1)", "2 (2-3)"]
