"""End of a job that is requeued."""

import pytest

from hpcml.cluster import job_end
from hpcml.cluster.job_end import JobEnd
from hpcml.cluster.options import Options


@pytest.fixture
def end():
    opened = JobEnd(Options(requeue=True, resume=True), {"SLURM_JOB_ID": "7"}, None)
    yield opened
    opened.deadline.close()


def test_the_requeue_is_logged_before_slurm_ends_the_job(end, monkeypatch, caplog):
    """Slurm may kill the job before `scontrol requeue` returns."""
    logged = []
    monkeypatch.setattr(job_end, "requeue_job", lambda *_: logged.extend(caplog.messages))
    end._requeue()
    assert logged[-1] == "job 7 goes back to the queue, to be resumed"


def test_an_element_of_an_array_is_requeued_alone(monkeypatch):
    """`scontrol requeue 7` would put all elements of the array 7 back, those that have ended included."""
    jobs = []
    monkeypatch.setattr(job_end, "requeue_job", lambda job, _: jobs.append(job))
    monkeypatch.setattr(job_end, "time_left", lambda job, _: jobs.append(job))
    variables = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
    opened = JobEnd(Options(requeue=True, resume=True), variables, None)
    opened.deadline.close()
    opened.finish(stopped=True)
    assert set(jobs) == {"7_1"}
