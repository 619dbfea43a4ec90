"""Answers that have left an engine are not lost by its death: only the running task is repeated."""

import builtins
import os
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from patience import patient, wait_until

import hpcml
from hpcml.engines.ipyparallel.outgoing import Outgoing

DEADLY = range(5, 60, 6)


def task(directory, number):
    """Work a while; the engine of a deadly number is killed, once, as soon as its next task begins."""
    with open(Path(directory) / "begun", "a") as file:
        file.write(f"{number}\n")
    if getattr(builtins, "armed", False):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.22)  # long enough to be sent alone, with the next task sent ahead
    mark = Path(directory) / f"deadly-{number}"
    if number in DEADLY and not mark.exists():
        mark.touch()
        builtins.armed = True
    return number


def test_an_answer_is_not_lost_when_its_engine_dies_in_the_next_task(tmp_path):
    options = {"slots_per_node": 4, "run_dir": tmp_path / "run", "progress": False, "retries": 10}
    with hpcml.Cluster("ipyparallel", **options, timeout=patient(60)) as cluster:
        futures = [cluster.submit(task, tmp_path, number) for number in range(60)]
        assert [future.result(patient(60)) for future in futures] == list(range(60))
    begun = Counter((tmp_path / "begun").read_text().split())
    kills = len(list(tmp_path.glob("deadly-*")))
    assert kills == len(DEADLY)
    assert sum(begun.values()) - len(begun) <= kills, begun


def note_and_sleep(path):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.3)
    return "done"


def test_an_answer_that_arrives_after_the_report_of_the_death_counts(tmp_path, capfd):
    """The programs that forward answers are suspended meanwhile; another program reports deaths."""
    path = tmp_path / "begun"
    options = {"slots_per_node": 2, "run_dir": tmp_path / "run", "progress": False, "timeout": patient(60)}
    with hpcml.Cluster("ipyparallel", **options) as cluster:
        before = set(cluster.client.ids)
        result = cluster.submit(note_and_sleep, path)
        wait_until(path.exists)
        (controller,) = [one for one in psutil.Process().children() if "controller" in " ".join(one.cmdline())]
        carriers = controller.children()
        for carrier in carriers:
            carrier.suspend()
        time.sleep(patient(0.3) + 0.2)  # until the task has ended and its answer has left the engine
        os.kill(int(path.read_text()), signal.SIGKILL)
        wait_until(lambda: before - set(cluster.client._ids))
        for carrier in carriers:
            carrier.resume()
        assert result.result(patient(60)) == "done"
    assert len(path.read_text().split()) == 1
    assert "unknown result" not in capfd.readouterr().out


@pytest.mark.parametrize("nbytes", [1, 100_000])
def test_bytes_given_to_the_kernel_are_counted(nbytes):
    with socket.create_server(("127.0.0.1", 0)) as server:
        outgoing = Outgoing(server.getsockname()[1])
        assert outgoing.written() is None
        with socket.create_connection(server.getsockname()) as here:
            there, _ = server.accept()
            before = outgoing.written()
            late = threading.Timer(0.3, here.sendall, [bytes(nbytes)])
            late.start()
            began = time.monotonic()
            outgoing.wait(before, nbytes)
            assert time.monotonic() - began > 0.25
            assert outgoing.written() == before + nbytes
            there.close()
            late.join()
        outgoing.wait(before, 10 * nbytes)  # returns at once, for the connection is closed
        assert outgoing.written() is None
