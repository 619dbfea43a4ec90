"""Graders: a module for each exercise, with ``FIELDS``, the schema of its results, and ``grade``, its checks."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from hpcml.commands.tutorial.checks import Check
from hpcml.commands.tutorial.results import Field

__all__ = ["Grader", "grader"]


class Grader(NamedTuple):
    """Fields of an exercise's results, and its checks of such results."""

    fields: Mapping[str, Field]
    grade: Callable[[Mapping[str, Any]], Iterable[Check]]


def grader(name: str) -> Grader:
    """Return the grader of the exercise with a name."""
    module = importlib.import_module(f"{__package__}.{name}")
    return Grader(module.FIELDS, cast(Callable[[Mapping[str, Any]], Iterable[Check]], module.grade))
