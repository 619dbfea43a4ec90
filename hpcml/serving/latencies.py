"""Latencies of many items, in little memory: their number in each of many small ranges."""

import math
from collections import Counter

__all__ = ["Latencies"]

STEP = math.log(1.01)  # quantiles are right to 1 %


class Latencies:
    """Latencies in seconds, with their quantiles to 1 %, as the library HdrHistogram has them.

    Examples
    --------
    >>> from hpcml.serving.latencies import Latencies
    >>> latencies = Latencies()
    >>> for milliseconds in range(1, 1001):
    ...     latencies.add(milliseconds / 1000)
    >>> latencies.count, round(latencies.quantile(0.5), 2), round(latencies.quantile(0.99), 2)
    (1000, 0.5, 0.99)
    """

    def __init__(self) -> None:
        self.count = 0
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Add the latency of an item; clocks that differ may make it negative, and then it counts as 1 µs."""
        self.count += 1
        self._counts[round(math.log(max(seconds, 1e-6)) / STEP)] += 1

    def quantile(self, share: float) -> float:
        """Return the latency that so large a share of the items has at most; NaN without items."""
        left = share * self.count
        for step, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return math.exp(step * STEP)
        return math.nan
