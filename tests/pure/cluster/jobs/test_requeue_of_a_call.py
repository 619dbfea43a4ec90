"""Requeue of the job of one call, near the end of its time."""

import signal
from functools import partial

import pytest

from hpcml.cluster.jobs import one_call
from hpcml.cluster.jobs.folder import JobFolder
from hpcml.cluster.jobs.one_call import JobEndSignals


@pytest.fixture
def kept_handlers():
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_an_element_of_an_array_is_requeued_alone(tmp_path, monkeypatch, kept_handlers):
    jobs = []
    monkeypatch.setattr(one_call, "requeue_job", lambda job, _: jobs.append(job))
    variables = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
    end = JobEndSignals(JobFolder(tmp_path), None, partial(print), b"", variables)
    end._requeue()
    end.close()
    assert jobs == ["7_1"]
