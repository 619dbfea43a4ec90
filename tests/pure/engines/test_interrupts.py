"""Interrupts: a worker is killed when a frame to interrupt is the first of its frames, and once."""

import threading
from collections import deque
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from hpcml.engines.interrupts import Interrupts


@pytest.fixture
def engine():
    """An engine of two workers; the first has two frames, the second one. The killed workers are in a list."""
    lock = threading.Lock()
    workers = [SimpleNamespace(killed=False, outstanding=deque(Future() for _ in range(n))) for n in (2, 1)]
    killed = []

    def kill(worker):
        assert not lock.locked()
        killed.append(workers.index(worker))

    return SimpleNamespace(
        lock=lock, workers=workers, killed=killed, interrupts=Interrupts(lock, lambda: workers, kill)
    )


def test_a_frame_that_runs_costs_its_worker_at_once(engine):
    engine.interrupts.interrupt(engine.workers[1].outstanding[0])
    assert engine.killed == [1]
    assert [worker.killed for worker in engine.workers] == [False, True]


def test_a_frame_that_waits_costs_its_worker_when_its_turn_comes(engine):
    engine.interrupts.interrupt(engine.workers[0].outstanding[1])
    assert engine.killed == []
    engine.workers[0].outstanding.popleft()
    engine.interrupts.kill_due()
    assert engine.killed == [0]


def test_a_worker_is_killed_once(engine):
    for future in list(engine.workers[0].outstanding):
        engine.interrupts.interrupt(future)
    engine.interrupts.kill_due()
    assert engine.killed == [0]


def test_a_frame_that_has_ended_costs_nothing(engine):
    """Its future was discarded, or it is no worker's."""
    waiting = engine.workers[0].outstanding[1]
    engine.interrupts.interrupt(waiting)
    with engine.lock:
        engine.interrupts.discard([waiting])
    engine.workers[0].outstanding.popleft()
    engine.interrupts.kill_due()
    engine.interrupts.interrupt(Future())
    assert engine.killed == []
