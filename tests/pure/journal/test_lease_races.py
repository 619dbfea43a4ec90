"""Drivers that ask for a lease at the same time, also on a network file system: one of them gets it."""

import contextlib
import dataclasses
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from leases import ME, unknown, write_lease
from network_files import NetworkFiles
from patience import patient

from hpcml.errors import RunInUse
from hpcml.journal.lease import Lease


def race(directory, drivers, me=ME):
    """Ask for a lease in several threads at once; return the leases that were granted."""
    start, won = threading.Barrier(drivers), []

    def ask(_):
        start.wait(10)
        with contextlib.suppress(RunInUse):
            won.append(Lease(directory, me, unknown))

    with ThreadPoolExecutor(drivers) as pool:
        list(pool.map(ask, range(drivers)))
    return won


def test_each_of_a_thousand_races_has_one_winner(tmp_path):
    """F13: each race has one winner; every second holder has died, the others have released the lease."""
    for number in range(1, 1001):
        if number % 50 == 1:
            directory = tmp_path / str(number)
            directory.mkdir(mode=0o700)
        (winner,) = race(directory, 3)
        if number % 2:
            winner.release()
        else:
            winner._close()
            ended_holder = dataclasses.replace(ME, started=0)
            write_lease(directory, ended_holder, int(winner.path.name.removeprefix("lease-")))
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
time.sleep(60)  # the lease of a holder that has ended would be taken over
"""


def test_each_race_of_processes_has_one_winner(tmp_path):
    count = 100
    for number in range(count):
        directory = tmp_path / f"{number:03}"
        directory.mkdir(mode=0o700)
        if number % 2:
            write_lease(directory, dataclasses.replace(ME, started=0))
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
        time.sleep(1)  # for the slowest racers
    finally:
        for racer in racers:
            racer.kill()
    won = sorted(line for racer in racers for line in racer.communicate(timeout=patient(10))[0].split())
    assert won == sorted(path.name for path in tmp_path.iterdir())


def test_a_run_that_is_removed_during_a_race_has_at_most_one_winner(tmp_path):
    """A run without tasks is removed with its lease, which must not admit two drivers."""
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


def test_a_missing_first_lease_admits_no_second_driver(tmp_path):
    """A user has removed the first lease, not the one that the message names."""
    first = Lease(tmp_path, ME, unknown)
    first.release()
    second = Lease(tmp_path, ME, unknown)
    first.path.unlink()
    with pytest.raises(RunInUse, match="lease-2"):
        Lease(tmp_path, ME, unknown)
    second.release()


def test_a_predecessor_that_vanishes_restarts_the_search(tmp_path, monkeypatch):
    write_lease(tmp_path, dataclasses.replace(ME, started=0))
    real = Lease._make

    def make(lease, number, me):
        if number == 2 and (tmp_path / "lease-1").exists():
            (tmp_path / "lease-1").unlink()
        return real(lease, number, me)

    monkeypatch.setattr(Lease, "_make", make)
    assert Lease(tmp_path, ME, unknown).path.name == "lease-1"
    assert os.listdir(tmp_path) == ["lease-1"]


@pytest.fixture
def network(tmp_path, monkeypatch):
    return NetworkFiles(monkeypatch, tmp_path)


@pytest.mark.parametrize("link", ["done", "lost", "exists"])
def test_a_link_whose_answer_is_lost_counts(tmp_path, network, link):
    network.link = link
    lease = Lease(tmp_path, ME, unknown)
    assert network.linked == 1
    with pytest.raises(RunInUse):
        Lease(tmp_path, ME, unknown)
    lease.release()
    Lease(tmp_path, ME, unknown).release()


def test_a_file_system_without_links_is_an_error(tmp_path, network):
    network.link = "refused"
    with pytest.raises(PermissionError):
        Lease(tmp_path, ME, unknown)
    network.link = "done"
    Lease(tmp_path, ME, unknown).release()


def test_a_stale_directory_entry_admits_no_second_driver(tmp_path, network):
    """The cache of names does not list the lease yet, but link(2) fails."""
    network.names_are_stale = True
    lease = Lease(tmp_path, ME, unknown)
    with pytest.raises(RunInUse):
        Lease(tmp_path, ME, unknown)
    lease.release()
