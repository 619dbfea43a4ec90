"""Lines about the items so far: their number, their rate, and the quantiles of their latencies."""

import time
from collections.abc import Callable

from hpcml.serving.latencies import Latencies

__all__ = ["Totals"]


class Totals:
    """Items that have results, since the start and in the present interval.

    Parameters
    ----------
    interval
        Seconds from one line to the next.
    print_line
        Prints a line.
    """

    def __init__(self, interval: float, print_line: Callable[[str], object]) -> None:
        self._interval, self._print_line = interval, print_line
        self._began = self._since = time.monotonic()
        self._all, self._recent = Latencies(), Latencies()
        self._errors, self._recent_errors = 0, 0

    def add(self, seconds: float, failed: bool) -> None:
        """Count an item, with its latency in seconds."""
        self._all.add(seconds)
        self._recent.add(seconds)
        self._errors += failed
        self._recent_errors += failed

    def print_due(self, version: int, waiting: int) -> None:
        """Print a line where it is time to."""
        now = time.monotonic()
        if now - self._since < self._interval:
            return
        line = _line(self._recent, self._recent_errors, now - self._since)
        self._print_line(f"version {version}: {line}, {waiting:,} waiting")
        self._since, self._recent, self._recent_errors = now, Latencies(), 0

    def closing_line(self) -> str:
        """Return the line about all items."""
        return f"served {_line(self._all, self._errors, time.monotonic() - self._began)}"


def _line(latencies: Latencies, errors: int, seconds: float) -> str:
    failed = f" ({errors:,} with an error)" if errors else ""
    rate = latencies.count / max(seconds, 1e-9)
    if not latencies.count:
        return f"0 items in {seconds:.1f} s"
    p50, p99 = (_milliseconds(latencies.quantile(share)) for share in (0.5, 0.99))
    items = "item" if latencies.count == 1 else "items"
    return f"{latencies.count:,} {items}{failed} in {seconds:.1f} s, {rate:.4g}/s, p50 {p50}, p99 {p99}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"
