"""Evaluations of DEAP's individuals that take less time than their journey would: they stay in the driver.

Results must not depend on where a call was made. What is not sure to be the same here, workers do again: calls of
a function that changes itself or its individual, draws random numbers, raises, or returns anything but numbers.
"""

import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

from hpcml.chunks import snapshot
from hpcml.individuals import is_plain_list
from hpcml.payload import Maps, loads
from hpcml.pickling import is_plain

__all__ = ["SENDING_SECONDS", "call_here", "stay_here"]

SENDING_SECONDS = 5e-5  # for which a call and its result keep the driver busy, and half of that the worker
PATIENCE = 0.02  # seconds; calls that last longer than those before them are not for the driver

_NUMBERS = (int, float)
_NOTHING: dict[str, Any] = {}
_refused: set[str] = set()  # names of functions that are for workers alone


def stay_here(function: Callable[..., Any], name: str, seconds: float | None, tuples: Sequence[Any]) -> bool:
    """Tell whether calls of `seconds` each (None: not known), with these arguments, are better made here.

    Only of functions, not of objects that can be called; and for individuals that are lists of numbers and have
    nothing but a fitness beside them, with other arguments that nothing changes.
    """
    if seconds is None or seconds > SENDING_SECONDS or not tuples or name in _refused:
        return False
    while not isinstance(function, FunctionType) and hasattr(function, "func"):  # partial, and the like
        function = function.func
    if not isinstance(function, FunctionType) or not all(tuples) or not is_plain_list(tuples[0][0]):
        return False
    alike = len({type(args[0]) for args in tuples}) == 1
    return alike and ({1}.issuperset(map(len, tuples)) or all(is_plain(args[1:], {}) for args in tuples))


def call_here(
    name: str, packed: bytes, tuples: Sequence[Any], seconds: float, seeds: bool
) -> tuple[list[Any], float]:
    """Return what the function that is `packed` makes of `tuples`, as far as it is sure, and the seconds of each.

    Parameters
    ----------
    seconds
        That a call is thought to take: when they take much longer the rest is not made.
    seeds
        Whether the function seeds the random numbers itself.
    """
    function = loads(packed, Maps())
    before, states = snapshot(function), _states()
    values: list[Any] = []
    began = time.perf_counter()
    until = began + PATIENCE + 3 * seconds * len(tuples)
    sure = before is not None and _call_all(function, tuples, values, until)
    spent = (time.perf_counter() - began) / max(len(values), 1)
    drawn = _restore(states)
    if snapshot(function) != before or (drawn and not seeds):
        sure = False
        values.clear()
    if not sure:
        _refused.add(name)
    return values, spent


def _call_all(function: Callable[..., Any], tuples: Sequence[Any], values: list[Any], until: float) -> bool:
    """Append the value of each call, until it is late; False, and no trace of one, where a worker's may differ."""
    for args in tuples:  # all that is done here is done a hundred thousand times a second
        individual = args[0]
        attributes, genome = individual.__dict__, individual[:]
        fitness = attributes.get("fitness")
        if len(attributes) != 1 or fitness is None or not genome or not isinstance(genome[-1], _NUMBERS):
            return False  # genomes are not looked at as a whole, but for the first: that takes a third of a call
        state = fitness.__dict__
        before = state.copy() if state else _NOTHING
        try:
            value = function(*args)
        except Exception:
            value = None
        same = attributes.get("fitness") is fitness and len(attributes) == 1
        if not same or individual != genome or state != before:
            _put_back(individual, genome, fitness, before)
            return False
        if type(value) is not tuple:
            return False
        for part in value:
            if not isinstance(part, _NUMBERS):
                return False
        values.append(value)
        if time.perf_counter() > until:
            break
    return True


def _put_back(individual: Any, genome: list[Any], fitness: Any, state: Mapping[str, Any]) -> None:
    individual[:] = genome
    vars(individual).clear()
    individual.fitness = fitness
    vars(fitness).clear()
    vars(fitness).update(state)


def _states() -> tuple[Any, Any]:
    numpy = sys.modules.get("numpy.random")
    return random.getstate(), None if numpy is None else numpy.get_state()


def _restore(states: tuple[Any, Any]) -> bool:
    """Put the random numbers back, and tell whether any were drawn."""
    now = _states()
    drawn: bool = now[0] != states[0]
    if states[1] is not None:
        _, keys, *more = now[1]
        drawn = drawn or more != [*states[1][2:]] or bytes(keys) != bytes(states[1][1])
    if drawn:
        random.setstate(states[0])
        if states[1] is not None:
            sys.modules["numpy.random"].set_state(states[1])
    return drawn
