"""Generator of programs: hypothesis strategies whose values are the source text of small scripts.

A program defines a task that does a few things (`pieces.PIECES`), wraps it (`pieces.WRAPPERS`), and maps it one to
three times over inputs (`pieces.INPUTS`); between two maps its state changes. Each execution of call ``i`` leaves
a line in the file LOG, what it prints begins with RUN and ``i``. A simpler program comes first in each choice, so
that a counterexample shrinks to a short one.
"""

import re
import textwrap
from typing import Any, NamedTuple

from hypothesis import strategies as st
from pieces import CLASSES, ERRORS, INPUTS, PIECES, RETURNS, WRAPPERS, Piece

__all__ = ["APART", "HEAD", "NOT_YET", "Program", "build", "programs"]

NOT_YET = {
    "returned strange error": "what is expected is made with cloudpickle, which cannot load such an exception",
}
"""Pieces that are left out, by name, each with the fault that is not mended yet; ``resumed``: no run is cut."""

APART = 10_000  # between the numbers of the calls of two maps
APIS = ("map", "submit", "parallel", "parallel:1", "parallel:7", "parallel:generator")

HEAD = """\
import dataclasses, decimal, enum, functools, os, random, sys, threading, typing
import numpy as np
import diffmod

def mark(i):
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, b"%7d\\n" % i)
    os.close(file)

"""


Raised = tuple[Piece, int, bool, bool] | None
Map = tuple[str, int, str]


class Program(NamedTuple):
    """Program, and whether plain Python in one process gives the expected outcome."""

    source: str
    plain: bool
    calls: int
    pieces: frozenset[str]  # their names
    cut: float | None = None  # the part of the executions after which the driver is killed; None: it is not

    def __repr__(self) -> str:
        return self.source


def _left(pieces: tuple[Piece, ...]) -> list[Piece]:
    return [piece for piece in pieces if piece.name not in NOT_YET]


_TASKS = st.lists(st.sampled_from(_left(PIECES)), max_size=4, unique_by=lambda piece: piece.name)
_INPUTS = st.sampled_from(_left(INPUTS))
_WRAPPERS = st.sampled_from(_left(WRAPPERS))
_RAISED = st.none() | st.tuples(
    st.sampled_from(_left(ERRORS)), st.integers(1, 300), st.booleans(), st.sampled_from([True, False, False])
)
_FORMS = st.sampled_from(["list", "generator", "results"])
_MAPS = st.lists(st.tuples(st.sampled_from(APIS), st.integers(1, 20), _FORMS), min_size=1, max_size=3)
_CUTS = st.sampled_from([None] * 36 + [0.0, 0.3, 0.6, 1.0] * ("resumed" not in NOT_YET))
_LONG = st.sampled_from([0, 0, 0, 0, 150, 300])  # more calls of the first map: from a few dozen on in chunks


@st.composite
def programs(draw: Any) -> Program:
    """Return a strategy of programs."""
    pieces, given, wrapper = draw(_TASKS), draw(_INPUTS), draw(_WRAPPERS)
    raised, returned = draw(_RAISED), draw(st.sampled_from(RETURNS))
    (api, length, form), *others = draw(_MAPS)
    program = build(pieces, given, wrapper, raised, returned, [(api, length + draw(_LONG), form), *others])
    return program._replace(cut=draw(_CUTS))


def build(  # noqa: PLR0917
    pieces: list[Piece], given: Piece, wrapper: Piece, raised: Raised, returned: str, maps: list[Map]
) -> Program:
    """Return the program that consists of these parts.

    Parameters
    ----------
    raised
        What the task raises; in which calls, as a number to divide theirs by, or the number of one; first of all
        or in the end; in many calls or in one.
    maps
        For each: the interface, how many calls, and where its inputs come from.
    """
    parts = [*pieces, given, wrapper]
    text = [_task(pieces, raised, returned), wrapper.body + "\n"]
    setup = "\n".join(part.setup for part in parts if part.setup)
    after = "\n".join(part.after for part in parts if part.after)
    for number, (api, length, form) in enumerate(maps):
        text.append(_map(number, api, min(length, 60) if api == "submit" else length, form, given.body))
        if number + 1 < len(maps) and after:
            text.append(after + "\n")
    whole = "\n".join([setup, *text])
    return Program(
        HEAD + _classes(whole) + whole,
        plain=all(part.plain for part in parts) and "shared" not in given.name,
        calls=sum(length for _, length, _ in maps),
        pieces=frozenset(part.name for part in [*parts, *(raised or ())[:1]]),
    )


def _task(pieces: list[Piece], raised: Raised, returned: str) -> str:
    names = [name for piece in pieces for name in piece.names]
    lines = ["def task(i, x, extra=None):"]
    if names:
        lines.append(f"    global {', '.join(names)}")
    lines += ["    mark(i)", "    out = [] if extra is None else [extra]"]
    body = [piece.body for piece in pieces]
    if raised is not None:
        error, when, first, every = raised
        condition = f"i % {APART} % {when} == {when - 1}" if every else f"i % {APART} == {when - 1}"
        text = f"if {condition}:\n{textwrap.indent(error.body, '    ')}"
        body.insert(0 if first else len(body), text)
    lines += [textwrap.indent(part, "    ") for part in body]
    return "\n".join([*lines, f"    return {returned}\n"])


def _map(number: int, api: str, length: int, form: str, given: str) -> str:
    ids = f"range({number * APART}, {number * APART + length})"
    if form == "results" and number:
        return f"results = run({api!r}, f, {ids}, results)"
    brackets = "()" if form == "generator" else "[]"
    return f"results = run({api!r}, f, {ids}, {brackets[0]}{given} for i in {ids}{brackets[1]})"


def _classes(text: str) -> str:
    """Return the definitions that a text uses."""
    used = [name for name in CLASSES if re.search(rf"\b{name}\b", text)]
    return "\n".join(CLASSES[name] for name in used) + "\n"
