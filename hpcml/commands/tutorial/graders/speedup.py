"""Grader of exercise 8: computes what follows from the student's times; a table has a known serial fraction."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from hpcml.commands.scaling.fits import fit_amdahl
from hpcml.commands.tutorial.checks import Check, at_least, close, same
from hpcml.commands.tutorial.results import flag, number, numbers, whole

__all__ = ["FIELDS", "grade"]

FIELDS = {
    "quick": flag("whether the program is short, --quick"),
    "slots": numbers("numbers of slots, from 1"),
    "repeats": numbers("runs on each number of slots"),
    "seconds": numbers("median time on each, without the start of the workers"),
    "serial_seconds": numbers("times of the serial code, one for each repeat"),
    "baseline": number("T(1): seconds that all times are compared with"),
    "speedups": numbers("speed-up on each number of slots"),
    "efficiencies": numbers("efficiency on each number of slots"),
    "serial_fraction": number("serial fraction that fits the measured times"),
    "table_fraction": number("serial fraction that fits the times of TABLE"),
    "stop": whole("the most slots with an efficiency of 0.7 or more"),
}

LEAST_REPEATS = {True: 3, False: 5}  # with --quick, and without
LEAST_NUMBERS = 3  # of slots: fewer do not say whether the law fits
TABLE_FRACTION, TABLE_TOLERANCE = 0.1, 0.03
FIT_TOLERANCE = 0.1  # a fit of absolute errors, in place of relative ones, is right as well
WORTH = 0.7


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    slots, seconds, serial = results["slots"], results["seconds"], results["serial_seconds"]
    yield _sweep(slots, seconds)
    timed = bool(serial) and min(serial) > 0
    yield Check("serial code", timed, "its time, for each repeat", f"{len(serial)} times", "call serial_program")
    if timed and _is_sweep(slots, seconds):
        yield from _conclusions(results, slots, seconds, serial)


def _conclusions(
    results: Mapping[str, Any], slots: Sequence[float], seconds: Sequence[float], serial: Sequence[float]
) -> Iterator[Check]:
    """Yield the checks of what follows from times that are all there."""
    least = LEAST_REPEATS[results["quick"]]
    hint = "one run says nothing about noise: --repeat, for the median of several"
    repeats = min([*results["repeats"], len(serial)]) if len(results["repeats"]) == len(slots) else 0
    yield at_least("repeats", repeats, least, hint)
    hint = "the time on one slot holds the cost of the tasks, and hides it: take the median of the serial code"
    one, base = results["baseline"], median(serial)
    same_base = abs(one - base) <= 1e-9
    yield Check("baseline", same_base, f"{base:.4g} s, the median of the serial code", f"{one:.4g} s", hint)
    speedups = [results["baseline"] / one for one in seconds]
    yield close("speed-ups", results["speedups"], speedups, "the speed-up is T(1) / T(p)")
    efficiencies = [speedup / count for speedup, count in zip(speedups, slots, strict=True)]
    yield close("efficiencies", results["efficiencies"], efficiencies, "the efficiency is speed-up / slots")
    yield _fraction(results, slots, seconds)
    worth = [int(count) for count, one in zip(slots, efficiencies, strict=True) if one >= WORTH]
    hint = "more slots than these cost more than they save: the last number with an efficiency of 0.7 or more"
    yield same("where to stop", results["stop"], max(worth, default=1), hint)


def _is_sweep(slots: Sequence[float], seconds: Sequence[float]) -> bool:
    return (
        len(set(slots)) >= LEAST_NUMBERS
        and list(slots) == sorted(set(slots))
        and slots[0] == 1
        and len(seconds) == len(slots)
        and min(seconds) > 0
    )


def _sweep(slots: Sequence[float], seconds: Sequence[float]) -> Check:
    return Check(
        "numbers of slots",
        _is_sweep(slots, seconds),
        f"{LEAST_NUMBERS} numbers or more, growing from 1, each with a time",
        f"{len(slots)} numbers of slots, {len(seconds)} times",
        "a law that is fitted to two points fits always: --slots 1,2,4",
    )


def _fraction(results: Mapping[str, Any], slots: Sequence[float], seconds: Sequence[float]) -> Check:
    """Check the fit, of times with a known serial fraction and of the measured ones."""
    table, found = results["table_fraction"], results["serial_fraction"]
    in_range = min(max(found, 0.0), 1.0)  # noise can make more slots slower, or too fast
    fit = fit_amdahl({int(count): [one] for count, one in zip(slots, seconds, strict=True)})
    measured = 0.0 if fit is None else fit.serial
    return Check(
        "serial fraction",
        abs(table - TABLE_FRACTION) <= TABLE_TOLERANCE and abs(in_range - measured) <= FIT_TOLERANCE,
        f"about {TABLE_FRACTION:g} for TABLE, and {measured:.3f} for the measured times",
        f"{table:.3f} and {found:.3f}",
        "fit a + b / p by least squares: the serial fraction is a / (a + b)",
    )
