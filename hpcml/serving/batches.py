"""Micro-batches: how many items are scored together, and how long the first one waits for others."""

from collections import deque
from collections.abc import Iterable

from hpcml.serving.items import Item

__all__ = ["Batches"]


class Batches:
    """Items that wait, and the batches that are made of them.

    A batch is sent to a free slot when it is full or its first item has waited long enough. A full batch is also
    sent to a slot that is busy, so that the slot need not wait for its next one.

    Parameters
    ----------
    size
        Items of a batch at most.
    wait
        Seconds that the first item waits for others at most, while a slot is free.

    Examples
    --------
    >>> from hpcml.serving.batches import Batches
    >>> batches = Batches(size=2, wait=0.01)
    >>> batches.add(["a", "b", "c"], now=0.0)
    >>> batches.take(0.0, slots=1, in_flight=0), batches.take(0.0, slots=1, in_flight=1)
    (['a', 'b'], [])
    >>> batches.take(0.005, slots=1, in_flight=0), batches.take(0.01, slots=1, in_flight=0)
    ([], ['c'])
    """

    def __init__(self, size: int, wait: float) -> None:
        self.size = size
        self.wait = wait
        self._waiting: deque[tuple[float, Item]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, items: Iterable[Item], now: float) -> None:
        """Have items wait."""
        self._waiting.extend((now, item) for item in items)

    def take(self, now: float, slots: int, in_flight: int, at_once: bool = False) -> list[Item]:
        """Return the next batch; none where it is better to wait. `at_once`: no further item comes."""
        is_full = len(self._waiting) >= self.size
        if not self._waiting or in_flight >= 2 * slots:
            return []
        if not is_full and (in_flight >= slots or not (at_once or now >= self._waiting[0][0] + self.wait)):
            return []
        return [self._waiting.popleft()[1] for _ in range(min(self.size, len(self._waiting)))]

    def seconds_to_next(self, now: float, slots: int, in_flight: int) -> float | None:
        """Return the seconds after which `take` has a batch; None where it is another event that gives one."""
        if not self._waiting or in_flight >= slots:
            return None
        return max(0.0, self._waiting[0][0] + self.wait - now)
