"""Ranks of the user's own as workers, with an exchange that brings what the test says."""

import queue
import subprocess
import sys

import pytest
from patience import patient

from hpcml.engines.mpi.packet import Kind, Packet
from hpcml.engines.mpi.rank_workers import RankWorkers
from hpcml.engines.worker import Worker
from hpcml.errors import WorkerDied


class Exchange:
    """Exchange of rank 0: packets and losses come in the order of `events`."""

    is_sending = False

    def __init__(self):
        self.events = queue.SimpleQueue()
        self.sent = []
        self._lost = set()

    def send(self, rank, packet):
        self.sent.append((rank, packet))

    def receive(self):
        while not self._lost and not self.events.empty():
            event = self.events.get()
            if isinstance(event, Packet):
                yield event
            else:
                self._lost = {event}

    def lost_ranks(self):
        lost, self._lost = self._lost, set()
        return lost


@pytest.fixture
def exchange():
    return Exchange()


@pytest.fixture
def workers(exchange):
    workers = RankWorkers(exchange, [Worker("n1", 0), Worker("n2", 0)])
    yield workers
    workers._thread.close()


def test_an_outcome_that_comes_after_the_loss_of_its_rank_ends_nothing(exchange, workers):
    broken = []
    workers.on_broken = broken.append
    first, second = workers.submit(b"first"), workers.submit(b"second")
    exchange.events.put(2)
    exchange.events.put(Packet(Kind.OUTCOMES, 1, 1, b"too late"))
    exchange.events.put(Packet(Kind.OUTCOMES, 0, 1, b"in time"))
    assert first.result(patient(10)) == b"in time"
    with pytest.raises(WorkerDied, match="n2:0 ended") as died:
        second.result(patient(10))
    assert died.value.started
    assert (workers.slots, workers.hosts, broken) == (1, ("n1",), [])


def test_outcomes_of_another_frame_are_never_a_result(exchange, workers):
    broken = queue.SimpleQueue()
    workers.on_broken = broken.put
    futures = [workers.submit(b"frame") for _ in range(4)]  # two for each rank
    exchange.events.put(Packet(Kind.OUTCOMES, 0, 1, b"first"))
    exchange.events.put(Packet(Kind.OUTCOMES, 0, 1, b"first"))
    assert "rank 1 has answered frame 1, not 2" in str(broken.get(timeout=patient(10)))
    assert futures[0].result(patient(10)) == b"first"
    for future in futures[1:]:
        with pytest.raises(WorkerDied):
            future.result(patient(10))


def test_the_loss_of_the_last_rank_is_the_end(exchange, workers):
    broken = queue.SimpleQueue()
    workers.on_broken = broken.put
    exchange.events.put(1)
    exchange.events.put(2)
    assert "all ranks that served have ended" in str(broken.get(timeout=patient(10)))
    with pytest.raises(WorkerDied):
        workers.submit(b"frame").result(patient(10))


PROGRAM = """
import atexit, threading, time
atexit.register(lambda: (time.sleep(2), print("saved")))
from hpcml.engines.mpi import rank_thread

class Exchange:
    is_sending = False
    lost = [{1}]
    def receive(self):
        return []
    def lost_ranks(self):
        return self.lost.pop() if self.lost else set()

rank_thread.END_SECONDS = 1
seen = threading.Event()
ranks = rank_thread.RankThread(Exchange(), print, print, lambda rank: seen.set())
assert seen.wait(60)
ranks.close()
"""


def test_what_a_script_does_at_its_end_is_not_cut_after_a_loss():
    """Only the end of MPI has a limit."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "saved\n"), done.stderr
