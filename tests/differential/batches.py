"""Batches of programs: they are run, and programs and differences are counted."""

import time
from collections import Counter
from dataclasses import dataclass, field

from compare import differences, missing
from generator import HEAD, Program
from programs import Driver

__all__ = ["TOTALS", "Totals", "check"]

PRINTED = 10.0  # seconds until all prints must have arrived, after the last result
ENGINES = ("local", "ipyparallel")


@dataclass
class Totals:
    """Totals of the test: programs, calls, and ``seconds`` by executor."""

    programs: int = 0
    calls: int = 0
    cut: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the summary, with the shortest counterexample."""
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(self.seconds.items()))
        line = f"{self.programs} programs of {self.calls} calls, {self.cut} cut; {len(self.found)} differ; {spent}"
        return [line, *sorted(self.found, key=len)[:1]]


TOTALS = Totals()


def check(drivers: dict[str, Driver], program: Program, executors: tuple[str, ...] = ENGINES) -> None:
    """Run a program on all executors at the same time, and compare each with the expected outcome.

    Raises
    ------
    AssertionError
        There is a difference; the message holds the source.
    """
    names = [*executors, *(["resumed"] if program.cut is not None else [])]
    cut = int((program.cut or 0) * program.calls)
    running = {name: drivers[name].run(program.source, cut) for name in ["isolated", *names]}
    seen = {name: one.seen() for name, one in running.items()}
    found = []
    for name in names:
        wrong = differences(seen["isolated"], seen[name], name == "resumed")
        if name in ENGINES:
            until = time.monotonic() + PRINTED
            while (lacking := missing(seen["isolated"], running[name].printed())) and time.monotonic() < until:
                time.sleep(0.02)
            wrong += lacking
        found += [f"{name}: {line}" for line in wrong]
    TOTALS.programs += 1
    TOTALS.calls += program.calls
    TOTALS.cut += program.cut is not None
    TOTALS.seconds.update({name: one.seconds for name, one in seen.items()})
    if found:
        source = program.source.removeprefix(HEAD)
        text = "\n".join(["# the program, after the head of generator.py:", source, *found])
        TOTALS.found.append(text)
        raise AssertionError(text)
