"""One driver at a time: who is refused, who takes over, and that it is never two."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from network_files import NetworkFiles
from patience import patient, promised

import hpcml.journal.lease
from hpcml.errors import HpcmlError, RunInUse
from hpcml.journal.lease import Lease, is_gone, this_process


def unknown(job):
    return None


def ended(job):
    return True


def going(job):
    return False


ME = this_process()
OTHER = dataclasses.replace(ME, host="n2", boot="another boot", pids="pid:[1]", pid=42, started=7)

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
    """Start a process that holds the lease of a run."""
    command = [sys.executable, "-c", HOLD, str(tmp_path), "17"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def leave(directory, holder, number=1):
    """Leave the lease of a holder that is no more."""
    path = directory / f"lease-{number}"
    path.write_text(json.dumps(dataclasses.asdict(holder)))
    path.chmod(0o600)


def test_the_second_is_refused_and_told_who_is_the_first(tmp_path, held):
    """F13: within 2 s, naming host, process and job; and what to type if that is wrong."""
    began = time.monotonic()
    with pytest.raises(RunInUse) as refused:
        Lease(tmp_path, ME, ended)  # whatever Slurm says of the job: the process is here
    assert time.monotonic() - began < promised(2)
    assert f"is in use by process {held.pid} on {ME.host} of job 17: wait for its end" in str(refused.value)
    assert f"rm '{tmp_path}/lease-1'" in str(refused.value)
    assert sorted(os.listdir(tmp_path)) == ["lease-1"]


def test_the_lease_of_a_killed_process_is_taken_over(tmp_path, held):
    os.kill(held.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    holder = hpcml.journal.lease.Lease._holder
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


def test_another_process_has_got_the_number(tmp_path):
    leave(tmp_path, dataclasses.replace(ME, started=ME.started - 5))
    Lease(tmp_path, ME, unknown).release()


@pytest.mark.parametrize(
    ("holder", "job_over", "gone"),
    [
        (OTHER, unknown, False),  # another computer, without a job: nobody can tell
        (dataclasses.replace(OTHER, job="5"), ended, True),
        (dataclasses.replace(OTHER, job="5"), going, False),
        (dataclasses.replace(OTHER, job="5"), unknown, False),
        (dataclasses.replace(OTHER, job="9"), going, True),  # an earlier session of my own job
        (dataclasses.replace(OTHER, job="9", restart=2), ended, False),  # this session of it, on another node
        (dataclasses.replace(OTHER, job="9", restart=3), ended, False),
        (dataclasses.replace(ME, boot="before"), unknown, True),  # this computer was started anew
        (dataclasses.replace(ME, boot="before", job="5"), going, False),
        (dataclasses.replace(ME, pids="pid:[1]"), unknown, False),  # in a container
        (dataclasses.replace(ME, pid=2**22 + 1), unknown, True),
        (dataclasses.replace(ME, job="9", restart=3), ended, False),  # this very process
    ],
)
def test_who_is_gone(tmp_path, holder, job_over, gone):
    me = dataclasses.replace(ME, job="9", restart=2)
    assert is_gone(holder, me, job_over) is gone
    leave(tmp_path, holder)
    if gone:
        Lease(tmp_path, me, job_over).release()
    else:
        with pytest.raises(RunInUse, match=str(holder)):
            Lease(tmp_path, me, job_over)


def test_slurm_is_asked_about_the_holders_job_only(tmp_path):
    asked = []
    leave(tmp_path, dataclasses.replace(OTHER, job="5"), 1)
    leave(tmp_path, dataclasses.replace(OTHER, job="6"), 2)
    Lease(tmp_path, ME, lambda job: asked.append(job) or True).release()
    assert asked == ["6"]  # lease-1 was followed by lease-2, so it had ended


# ---- races


def race(directory, drivers, me=ME):
    """Let threads ask for a lease at once; return those that got it."""
    start, won = threading.Barrier(drivers), []

    def ask(_):
        start.wait(10)
        with contextlib.suppress(RunInUse):
            won.append(Lease(directory, me, unknown))

    with ThreadPoolExecutor(drivers) as pool:
        list(pool.map(ask, range(drivers)))
    return won


def test_a_thousand_races_for_a_lease_that_has_ended(tmp_path):
    """F13: each has one winner; every second holder has died, the others have released it."""
    for number in range(1, 1001):
        if number % 50 == 1:
            directory = tmp_path / str(number)
            directory.mkdir(mode=0o700)
        (winner,) = race(directory, 3)
        if number % 2:
            winner.release()
        else:
            winner._close()
            leave(directory, dataclasses.replace(ME, started=0), int(winner.path.name.removeprefix("lease-")))
    assert not list(tmp_path.glob("*/.lease-*"))


RACE = """
import sys, time
from pathlib import Path
from hpcml.errors import RunInUse
from hpcml.journal.lease import Lease, this_process
for directory in sorted(Path(sys.argv[1]).iterdir()):
    try:
        Lease(directory, this_process(), lambda job: None)
        print(directory.name, flush=True)
    except RunInUse:
        pass
time.sleep(60)  # a holder that has ended would be followed
"""


def test_races_of_processes(tmp_path):
    count = 100
    for number in range(count):
        directory = tmp_path / f"{number:03}"
        directory.mkdir(mode=0o700)
        if number % 2:
            leave(directory, dataclasses.replace(ME, started=0))
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            live = [path for path in tmp_path.iterdir() if any(p.stat().st_size for p in path.glob("lease-*"))]
            if len(live) == count and not list(tmp_path.glob("*/.lease-*")):
                break
            time.sleep(0.05)
        time.sleep(1)  # for those that come last
    finally:
        for racer in racers:
            racer.kill()
    won = sorted(line for racer in racers for line in racer.communicate(timeout=patient(10))[0].split())
    assert won == sorted(path.name for path in tmp_path.iterdir())


def test_a_run_that_is_removed_while_somebody_waits_for_it(tmp_path):
    """What did nothing leaves nothing: removing its lease must not let two in."""
    for _ in range(200):
        first = Lease(tmp_path, ME, unknown)
        removing = threading.Thread(target=first.remove)
        removing.start()
        won = race(tmp_path, 3)
        removing.join(10)
        assert len(won) <= 1
        for lease in won:
            lease.remove()
        assert os.listdir(tmp_path) == []


def test_a_gap_is_no_way_in(tmp_path):
    """Somebody removed the first lease, not the one that the message names."""
    first = Lease(tmp_path, ME, unknown)
    first.release()
    second = Lease(tmp_path, ME, unknown)
    first.path.unlink()
    with pytest.raises(RunInUse, match="lease-2"):
        Lease(tmp_path, ME, unknown)
    second.release()


def test_a_predecessor_that_vanishes_sends_one_back_to_the_beginning(tmp_path, monkeypatch):
    leave(tmp_path, dataclasses.replace(ME, started=0))
    real = Lease._make

    def make(lease, number, me):
        if number == 2 and (tmp_path / "lease-1").exists():
            (tmp_path / "lease-1").unlink()
        return real(lease, number, me)

    monkeypatch.setattr(Lease, "_make", make)
    assert Lease(tmp_path, ME, unknown).path.name == "lease-1"
    assert os.listdir(tmp_path) == ["lease-1"]


def test_what_is_released_is_ones_own(tmp_path):
    """The lease was removed by hand, and somebody else has it now."""
    first = Lease(tmp_path, ME, unknown)
    first.path.unlink()
    second = Lease(tmp_path, ME, unknown)
    assert second.path == first.path
    first.release()
    with pytest.raises(RunInUse):
        Lease(tmp_path, ME, unknown)
    third = Lease.__new__(Lease)
    third._directory, third.path, third._descriptor = tmp_path, first.path, os.open(os.devnull, os.O_RDONLY)
    third.remove()
    assert second.path.exists()


# ---- F14: a network file system


@pytest.fixture
def network(tmp_path, monkeypatch):
    return NetworkFiles(monkeypatch, tmp_path)


@pytest.mark.parametrize("link", ["done", "lost", "exists"])
def test_a_link_whose_answer_is_lost(tmp_path, network, link):
    network.link = link
    lease = Lease(tmp_path, ME, unknown)
    assert network.linked == 1
    with pytest.raises(RunInUse):
        Lease(tmp_path, ME, unknown)
    lease.release()
    Lease(tmp_path, ME, unknown).release()


def test_a_file_system_without_links_is_told(tmp_path, network):
    network.link = "refused"
    with pytest.raises(PermissionError):
        Lease(tmp_path, ME, unknown)
    network.link = "done"
    Lease(tmp_path, ME, unknown).release()


def test_names_that_are_not_seen_yet(tmp_path, network):
    """The cache of names still says that there is no lease: then link(2) knows better."""
    network.names_are_stale = True
    lease = Lease(tmp_path, ME, unknown)
    with pytest.raises(RunInUse):
        Lease(tmp_path, ME, unknown)
    lease.release()


# ---- S4: what somebody has put there


def test_a_link_in_place_of_a_lease(tmp_path):
    (tmp_path / "elsewhere").write_text("")
    for target in ("elsewhere", "nowhere"):
        (tmp_path / "lease-1").symlink_to(tmp_path / target)
        with pytest.raises(HpcmlError, match="lease-1 is a link: remove it"):
            Lease(tmp_path, ME, unknown)
        (tmp_path / "lease-1").unlink()
    assert (tmp_path / "elsewhere").read_text() == ""


@pytest.mark.parametrize("content", ["nonsense", "[1]", '{"host": "x"}', '{"new": 1}'])
def test_a_lease_that_tells_nothing(tmp_path, content):
    (tmp_path / "lease-1").write_text(content)
    (tmp_path / "lease-1").chmod(0o600)
    with pytest.raises(HpcmlError, match="does not tell who uses this run.*: rm"):
        Lease(tmp_path, ME, unknown)


def test_a_lease_that_others_can_write(tmp_path):
    leave(tmp_path, dataclasses.replace(ME, started=0))
    (tmp_path / "lease-1").chmod(0o666)
    with pytest.raises(HpcmlError, match="open to other users"):
        Lease(tmp_path, ME, unknown)


def test_a_full_disk_leaves_no_litter(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Lease(tmp_path, ME, unknown)
    assert os.listdir(tmp_path) == []
