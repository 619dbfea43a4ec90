"""Functions whose calls must not affect each other, in a module, so that they are sent by name."""

import sys

import numpy as np

_out = np.empty(3)
_log = []
_last = {"n": None}


def fill(number):
    """Return the same array in each call, with new content."""
    _out[:] = number
    return _out


def collect(number):
    """Return the same list in each call of a process, one item longer each time."""
    _log[:] = [number, [number]]
    return _log


def last(number):
    _last["n"] = number
    return _last


class Sim:
    """Object of 80 kB that its calls change."""

    def __init__(self):
        self.state = np.zeros(10_000)

    def step(self, _):
        self.state += 1
        return float(self.state[0])


class Hidden:
    """Object whose pickle lacks the attributes that its calls change."""

    def __init__(self):
        self.calls = 0

    def __getstate__(self):
        return {"calls": 0}

    def __call__(self, _):
        self.calls += 1
        return self.calls


class Slotted:
    __slots__ = ("count",)

    def __init__(self):
        self.count = 0

    def add(self, _):
        self.count += 1
        return self.count


class Player:
    def __init__(self, strength):
        self.strength = strength


class Graph:
    """Nodes that are compared by identity, and costs by node."""

    def __init__(self):
        self.nodes = [Player(n) for n in (1, 10, 100)]
        self.cost = {node: node.strength for node in self.nodes}

    def of(self, node):
        return self.cost[node], self.nodes.index(node)


class Unreadable:
    """Object that can be pickled and not unpickled."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise KeyError("cannot be read")


def first_of(thing):
    return thing if isinstance(thing, int) else -1


class UnreadableHere:
    """Result that cannot be unpickled in the driver."""

    def __reduce__(self):
        return _refuse, ()


def some_unreadable(number):
    return UnreadableHere() if number == 700 else [number]


TARGET = 0


def distance(individual):
    return abs(sum(individual) - TARGET)


def leave(individual):
    if individual == [200]:
        sys.exit()
    if individual == [0]:
        raise SystemExit
    return individual
