"""Workers of which some are three times as slow, as those with slow GPUs are: all end nearly together.

The time is that of a list of events: the queue and the sizes of chunks are those of a map, and no worker sleeps.
"""

import heapq
import itertools
from concurrent.futures import Future

import pytest

from hpcml.cluster.dispatch.frames import Group, Task
from hpcml.cluster.dispatch.queue import TaskQueue
from hpcml.cluster.dispatch.sizes import FRAME_SECONDS, chunk_lengths
from hpcml.data.envelope import Call

MESSAGE = 0.005  # seconds to a worker and back, as measured; see `hpcml.cluster.dispatch.sizes`
MIXED = (1, 3) * 4


class Workers:
    """Workers that take `seconds` for a call, times their factor."""

    def __init__(self, factors, seconds):
        self.queue = TaskQueue()
        self.factors, self.seconds = factors, seconds
        self.now = 0.0
        self._frames = [0] * len(factors)
        self._free = [0.0] * len(factors)
        self._events = []
        self._order = itertools.count()

    def add(self, lengths):
        for length in lengths:
            keys = ("",) * length if length > 1 else ()
            self.queue.add(Task(Call(b"f", b"", "f", "f-1", keys=keys), Future()))

    def send(self):
        """Send frames to the workers with the least to do, as the engines choose them."""
        slots = len(self.factors)
        while (frame := self.queue.take(slots, sum(self._frames))) is not None:
            worker = min(range(slots), key=lambda one: (self._frames[one], self._free[one]))
            self._frames[worker] += 1
            begin = max(self.now + MESSAGE / 2, self._free[worker])
            self._free[worker] = begin + frame.calls * self.seconds * self.factors[worker]
            heapq.heappush(self._events, (self._free[worker] + MESSAGE / 2, next(self._order), worker, frame))

    def receive(self):
        """Take the next frame that comes back; False for none."""
        if not self._events:
            return False
        self.now, _, worker, frame = heapq.heappop(self._events)
        self._frames[worker] -= 1
        self.queue.frame_done(frame)
        for task in frame.tasks:
            self.queue.add_sample(task, frame.group, self.seconds * self.factors[worker], str(worker))
        return True


def run_map(factors, calls, seconds):
    """Return the seconds of a map: a call for each worker, then the others in chunks, as `MapCall` sends them."""
    workers = Workers(factors, seconds)
    workers.add([1] * len(factors))
    workers.send()
    workers.receive()
    measured = workers.queue.seconds("f-1", "f")
    workers.add(chunk_lengths(measured, calls - len(factors), len(factors), FRAME_SECONDS))
    workers.send()
    while workers.receive():
        workers.send()
    return workers.now


@pytest.mark.parametrize("seconds", [0.001, 0.005, 0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("factors", [MIXED, (1, 3, 3, 3)])
def test_a_map_over_uneven_workers_takes_a_tenth_more_than_the_ideal_at_most(factors, seconds):
    rate = sum(1 / factor for factor in factors) / seconds
    ideal = 6.0
    found = run_map(factors, round(ideal * rate), seconds)
    assert ideal <= found + seconds <= 1.1 * ideal + seconds
    equal = ideal * rate / len(factors) * max(factors) * seconds
    assert found < 0.75 * equal


def test_even_workers_are_sent_frames_ahead():
    """A worker whose next frame is there already does not wait for a message between two."""
    assert run_map((1,) * 4, 400, 0.05) < 5.0 + 4 * MESSAGE


def test_workers_are_uneven_by_what_each_has_taken():
    group = Group("f")
    for seconds in (1.0, 1.2, 1.4):
        group.add_sample(seconds, "n1:0")
        group.add_sample(seconds, "n1:1")
    assert not group.is_uneven
    group.add_sample(2.5, "n2:0")
    assert group.is_uneven
