"""Fits of scaling laws to times, by linear least squares with weights of the relative error.

Amdahl's law, T(p) = T(1) (f + (1 - f) / p) with the serial fraction f: G. Amdahl, AFIPS 1967. The universal
scalability law (USL), T(p) = T(1) (1 + a (p - 1) + b p (p - 1)) / p with contention a and coherency b: N. Gunther,
*Guerrilla Capacity Planning*, 2007. The Karp-Flatt metric: A. Karp and H. Flatt, CACM 33(5), 1990.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

__all__ = ["Amdahl", "Usl", "fit_amdahl", "fit_usl", "karp_flatt"]

LEAST_POINTS = {"Amdahl": 3, "USL": 5}
SAMPLES = 1000  # of the bootstrap
INTERVAL = (2.5, 97.5)  # percentiles: 95 %
SEED = 1

Interval = tuple[float, float]
Times = Mapping[int, Sequence[float]]
"""Times of the repeats, in seconds, by number of slots."""


@dataclass(frozen=True)
class Amdahl:
    """Fit of Amdahl's law.

    Parameters
    ----------
    one
        Time on one slot, in seconds.
    serial
        Serial fraction, from 0 to 1.
    interval
        Its interval of 95 % confidence; None without repeats.
    """

    one: float
    serial: float
    interval: Interval | None

    def seconds(self, slots: float) -> float:
        """Return the time on so many slots."""
        return self.one * (self.serial + (1 - self.serial) / slots)


@dataclass(frozen=True)
class Usl:
    """Fit of the universal scalability law: a and b, each with its interval, as of `Amdahl`."""

    one: float
    contention: float
    coherency: float
    contention_interval: Interval | None
    coherency_interval: Interval | None

    def seconds(self, slots: float) -> float:
        """Return the time on so many slots."""
        return self.one * (1 + self.contention * (slots - 1) + self.coherency * slots * (slots - 1)) / slots

    @property
    def peak(self) -> float:
        """Number of slots above which the time grows again; infinity where there is none."""
        if self.coherency <= 0:
            return float("inf")
        return max(float(np.sqrt(max(1 - self.contention, 0) / self.coherency)), 1.0)


def karp_flatt(speedup: float, ratio: float) -> float | None:
    """Return the serial fraction that a speed-up on `ratio` times the slots means; None for a ratio of 1.

    Where it grows with the slots, overhead grows; where it is constant, the serial part is the limit.

    Examples
    --------
    >>> from hpcml.commands.scaling.fits import karp_flatt
    >>> round(karp_flatt(1 / (0.2 + 0.8 / 8), 8), 12)
    0.2
    """
    return None if ratio == 1 else (1 / speedup - 1 / ratio) / (1 - 1 / ratio)


def fit_amdahl(times: Times) -> Amdahl | None:
    """Return the fit of Amdahl's law to the medians of `times`; None for fewer than three numbers of slots.

    Examples
    --------
    >>> from hpcml.commands.scaling.fits import fit_amdahl
    >>> fit = fit_amdahl({slots: [10 * (0.2 + 0.8 / slots)] for slots in (1, 2, 4, 8)})
    >>> round(fit.one, 9), round(fit.serial, 9)
    (10.0, 0.2)
    """
    if len(times) < LEAST_POINTS["Amdahl"]:
        return None

    def _fit(slots: np.ndarray, seconds: np.ndarray) -> tuple[float, ...]:
        serial, parallel = _least_squares([np.ones_like(slots), 1 / slots], seconds)
        return serial + parallel, min(max(serial / (serial + parallel), 0.0), 1.0)

    (one, serial), (_, interval) = _with_intervals(times, _fit)
    return Amdahl(one, serial, interval)


def fit_usl(times: Times) -> Usl | None:
    """Return the fit of the universal scalability law to the medians; None for fewer than five numbers of slots.

    Examples
    --------
    >>> from hpcml.commands.scaling.fits import Usl, fit_usl
    >>> law = Usl(10.0, 0.1, 0.01, None, None)
    >>> fit = fit_usl({slots: [law.seconds(slots)] for slots in (1, 2, 4, 8, 16)})
    >>> round(fit.contention, 9), round(fit.coherency, 9), round(fit.peak, 3)
    (0.1, 0.01, 9.487)
    """
    if len(times) < LEAST_POINTS["USL"]:
        return None

    def _fit(slots: np.ndarray, seconds: np.ndarray) -> tuple[float, ...]:
        one, contended, coherent = _least_squares([1 / slots, (slots - 1) / slots, slots - 1], seconds)
        return one, contended / one, coherent / one

    (one, contention, coherency), (_, *intervals) = _with_intervals(times, _fit)
    return Usl(one, contention, coherency, intervals[0], intervals[1])


def _least_squares(columns: Sequence[np.ndarray], seconds: np.ndarray) -> tuple[float, ...]:
    """Return the coefficients of `columns` for the least relative errors of `seconds`."""
    matrix = np.stack(columns, axis=1) / seconds[:, None]
    found, *_ = np.linalg.lstsq(matrix, np.ones(len(seconds)), rcond=None)
    return tuple(map(float, found))


def _with_intervals(
    times: Times, fit: Callable[[np.ndarray, np.ndarray], tuple[float, ...]]
) -> tuple[tuple[float, ...], Sequence[Interval | None]]:
    """Return the parameters of a fit to the medians, and their intervals: the bootstrap of the repeats."""
    slots = np.array(sorted(times), dtype=float)
    repeats = [np.asarray(times[number], dtype=float) for number in sorted(times)]
    found = fit(slots, np.array([median(values) for values in repeats]))
    if all(len(values) == 1 for values in repeats):
        return found, [None] * len(found)
    random = np.random.default_rng(SEED)
    samples = [
        fit(slots, np.array([np.median(random.choice(values, len(values))) for values in repeats]))
        for _ in range(SAMPLES)
    ]
    low, high = np.percentile(samples, INTERVAL, axis=0)
    return found, [(float(one), float(other)) for one, other in zip(low, high, strict=True)]
