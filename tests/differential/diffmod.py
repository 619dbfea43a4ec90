"""Module that programs of the differential test import, so that its functions are sent by name."""

import functools

import numpy as np

_out = np.zeros(3)
_kept: list[int] = []


def fill(number):
    """Return a buffer that each call refills."""
    _out[:] = number
    return _out


def keep(number):
    """Return a list of the module's, which each call refills."""
    _kept[:] = [number]
    return _kept


class scaled:  # noqa: N801  a decorator
    """Scale the value of a function by an attribute that a script may set."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.scale = 1

    def __call__(self, number):
        return self.function(number) * self.scale


@scaled
def identity(number):
    return number


class Box:
    """A class of a module."""

    def __init__(self, number=0):
        self.number = number
        self.held = []

    def step(self, number):
        self.number += 1
        self.held.append(number)
        return self.number
