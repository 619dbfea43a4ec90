"""A lease admits one driver at a time: who is refused, and who takes over."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest
from leases import ME, OTHER, ended, running, unknown, write_lease
from patience import promised

import hpcml.journal.lease
from hpcml.errors import HpcmlError, RunInUse
from hpcml.journal.lease import Lease, is_gone

HOLD = """
import sys, time
from pathlib import Path
from hpcml.journal.lease import Lease, this_process
lease = Lease(Path(sys.argv[1]), this_process(sys.argv[2]), lambda job: None)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """Process that holds the lease of a run."""
    command = [sys.executable, "-c", HOLD, str(tmp_path), "17"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_driver_is_refused_naming_the_first(tmp_path, held):
    """F13: within 2 s, naming host, process and job, and the command to type if that is wrong."""
    began = time.monotonic()
    with pytest.raises(RunInUse) as refused:
        Lease(tmp_path, ME, ended)  # the process exists here, whatever Slurm says of the job
    assert time.monotonic() - began < promised(2)
    assert f"is in use by process {held.pid} on {ME.host} of job 17: wait for its end" in str(refused.value)
    assert f"rm '{tmp_path}/lease-1'" in str(refused.value)
    assert sorted(os.listdir(tmp_path)) == ["lease-1"]


def test_the_lease_of_a_killed_process_is_taken_over(tmp_path, held):
    os.kill(held.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    holder = hpcml.journal.lease.Lease._read_holder
    while not is_gone(holder(_bare(tmp_path), 1), ME, unknown):  # a zombie is gone as well
        assert time.monotonic() < deadline
    lease = Lease(tmp_path, ME, unknown)
    assert lease.path.name == "lease-2"
    with pytest.raises(RunInUse, match=f"process {os.getpid()} on {ME.host}:"):
        Lease(tmp_path, ME, unknown)
    lease.release()


def _bare(directory):
    lease = object.__new__(Lease)
    lease._directory = directory
    return lease


def test_a_lease_that_was_released_is_free(tmp_path):
    for number in range(1, 6):
        lease = Lease(tmp_path, ME, unknown)
        assert lease.path.name == f"lease-{number}"
        lease.release()
        lease.release()  # harmless
    assert len(os.listdir(tmp_path)) == 5


def test_a_process_with_a_reused_number_is_not_the_holder(tmp_path):
    write_lease(tmp_path, dataclasses.replace(ME, started=ME.started - 5))
    Lease(tmp_path, ME, unknown).release()


@pytest.mark.parametrize(
    ("holder", "job_over", "gone"),
    [
        (OTHER, unknown, False),  # on another computer, without a job: unknown
        (dataclasses.replace(OTHER, job="5"), ended, True),
        (dataclasses.replace(OTHER, job="5"), running, False),
        (dataclasses.replace(OTHER, job="5"), unknown, False),
        (dataclasses.replace(OTHER, job="9"), running, True),  # an earlier session of my own job
        (dataclasses.replace(OTHER, job="9", restart=2), ended, False),  # this session of it, on another node
        (dataclasses.replace(OTHER, job="9", restart=3), ended, False),
        (dataclasses.replace(ME, boot="before"), unknown, True),  # this computer was restarted
        (dataclasses.replace(ME, boot="before", job="5"), running, False),
        (dataclasses.replace(ME, pids="pid:[1]"), unknown, False),  # in a container
        (dataclasses.replace(ME, pid=2**22 + 1), unknown, True),
        (dataclasses.replace(ME, job="9", restart=3), ended, False),  # this very process
    ],
)
def test_a_holder_is_gone_or_not(tmp_path, holder, job_over, gone):
    me = dataclasses.replace(ME, job="9", restart=2)
    assert is_gone(holder, me, job_over) is gone
    write_lease(tmp_path, holder)
    if gone:
        Lease(tmp_path, me, job_over).release()
    else:
        with pytest.raises(RunInUse, match=str(holder)):
            Lease(tmp_path, me, job_over)


def test_slurm_is_asked_about_the_holders_job_only(tmp_path):
    asked = []
    write_lease(tmp_path, dataclasses.replace(OTHER, job="5"), 1)
    write_lease(tmp_path, dataclasses.replace(OTHER, job="6"), 2)
    Lease(tmp_path, ME, lambda job: asked.append(job) or True).release()
    assert asked == ["6"]  # lease-1 was followed by lease-2, so it had ended


def test_release_and_remove_do_not_touch_a_successors_lease(tmp_path):
    """The lease was removed by hand, and another driver has one of the same name now."""
    first = Lease(tmp_path, ME, unknown)
    first.path.unlink()
    second = Lease(tmp_path, ME, unknown)
    assert second.path == first.path
    first.release()
    with pytest.raises(RunInUse):
        Lease(tmp_path, ME, unknown)
    third = Lease.__new__(Lease)
    third._directory = tmp_path
    third.path = first.path
    third._descriptor = os.open(os.devnull, os.O_RDONLY)
    third.remove()
    assert second.path.exists()


def test_a_link_in_place_of_a_lease_is_refused(tmp_path):
    (tmp_path / "elsewhere").write_text("")
    for target in ("elsewhere", "nowhere"):
        (tmp_path / "lease-1").symlink_to(tmp_path / target)
        with pytest.raises(HpcmlError, match="lease-1 is a link: remove it"):
            Lease(tmp_path, ME, unknown)
        (tmp_path / "lease-1").unlink()
    assert (tmp_path / "elsewhere").read_text() == ""


@pytest.mark.parametrize("content", ["nonsense", "[1]", '{"host": "x"}', '{"new": 1}'])
def test_a_lease_without_a_holder_is_refused(tmp_path, content):
    (tmp_path / "lease-1").write_text(content)
    (tmp_path / "lease-1").chmod(0o600)
    with pytest.raises(HpcmlError, match="does not name the process that uses this run.*: rm"):
        Lease(tmp_path, ME, unknown)


def test_a_lease_that_others_can_write_is_refused(tmp_path):
    write_lease(tmp_path, dataclasses.replace(ME, started=0))
    (tmp_path / "lease-1").chmod(0o666)
    with pytest.raises(HpcmlError, match="open to other users"):
        Lease(tmp_path, ME, unknown)


def test_a_full_disk_leaves_no_lease(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Lease(tmp_path, ME, unknown)
    assert os.listdir(tmp_path) == []
