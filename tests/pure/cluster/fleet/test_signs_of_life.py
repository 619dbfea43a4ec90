"""Sign of life of a driver: jobs end some time after the last one, and at once when its file is gone."""

import json
import os
import signal
import subprocess
import sys

import pytest

from hpcml.cluster.fleet import heartbeat, holder
from hpcml.cluster.fleet.heartbeat import beat
from hpcml.cluster.fleet.holder import Silence, wait_for_end


def looks(counters, **numbers):
    """Return after how many looks a job ends; a counter that is an exception is raised."""
    left = iter(counters)
    seen = []

    def read():
        counter = next(left)
        seen.append(counter)
        if isinstance(counter, BaseException):
            raise counter
        return counter

    reason = wait_for_end(read, Silence(**numbers), lambda: None)
    return len(seen), reason


def test_a_job_ends_45_seconds_after_the_last_change():
    count, reason = looks(["1", "2", "3", *["3"] * 20], poll=5.0, first=15.0, limit=45.0)
    assert (count - 3) * 5 == 45
    assert reason == "the driver has given no sign of life"


def test_a_job_that_starts_after_its_driver_ends_sooner():
    count, _ = looks(["9"] * 20, poll=5.0, first=15.0, limit=45.0)
    assert (count - 1) * 5 == 15


def test_a_job_without_the_file_of_its_driver_ends_at_once():
    assert looks([FileNotFoundError()], poll=5.0, first=15.0, limit=45.0) == (1, "the driver has ended")


def test_a_file_system_that_does_not_answer_is_no_news():
    count, _ = looks(["1", "2", None, None, "3", *["3"] * 20], poll=5.0, first=15.0, limit=45.0)
    assert (count - 5) * 5 == 45


def run_holder(tmp_path, **variables):
    report = tmp_path / "report"
    report.touch()
    words = [holder.__file__, tmp_path / "heartbeat", report, "0.1", "0.3", "0.9"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", *words],
        env=variables, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(report.read_text()), done.stdout


def test_the_program_of_a_job_reports_the_variables_of_a_login_node(tmp_path):
    (tmp_path / "heartbeat").write_text("1\n")
    job = {"SLURM_JOB_ID": "7", "SLURM_TASKS_PER_NODE": "4(x2)", "SLURM_CONF": "/etc/slurm.conf"}
    place = {
        "SLURMD_NODENAME": "n1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_JWT": "secret",
        "HOME": "/",
    }
    reported, printed = run_holder(tmp_path, **job, **place)
    assert reported == job
    assert printed == "hpcml: the driver has given no sign of life: this job ends\n"


@pytest.mark.parametrize("end", [b"", "another parent"])
def test_the_heartbeat_counts_until_the_drivers_end_and_returns_its_jobs(tmp_path, end):
    inputs = iter([b'{"jobs": ["7"]}\n{"jobs": ["7", ', None, b'"8"]}\n', end])
    path = tmp_path / "heartbeat"
    counters = []
    parent = [os.getppid()]

    def read(seconds):
        counters.append(path.read_text())
        data = next(inputs)
        if data == "another parent":
            parent.append(0)
        return None if isinstance(data, str) else data

    class Parent(int):
        def __eq__(self, other):
            return len(parent) == 1

        __hash__ = int.__hash__

    assert beat(read, str(path), 1.0, Parent(os.getpid())) == ["7", "8"]
    assert counters == sorted(set(counters))


def test_a_stopped_driver_gives_no_sign_of_life(tmp_path):
    driver = subprocess.Popen(["sleep", "60"])
    path = tmp_path / "heartbeat"
    try:
        os.kill(driver.pid, signal.SIGSTOP)
        os.waitpid(driver.pid, os.WUNTRACED)

        class Parent(int):
            def __eq__(self, other):
                return True

            __hash__ = int.__hash__

        assert beat(lambda _: b"", str(path), 1.0, Parent(driver.pid)) == []
        assert not path.exists()
    finally:
        driver.kill()
        driver.wait()


def test_the_heartbeat_of_a_driver_that_is_gone_removes_its_file(tmp_path):
    path = tmp_path / "heartbeat"
    words = [heartbeat.__file__, path, "0.1", str(os.getpid())]
    program = subprocess.Popen([sys.executable, "-I", "-S", *words], stdin=subprocess.PIPE)
    program.communicate(b'{"jobs": []}\n', timeout=60)
    assert program.returncode == 0
    assert not path.exists()
