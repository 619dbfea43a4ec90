"""SCOOP as it is shipped, on this computer: its own way to other nodes is ssh. The origin works too."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import scoop
from scoop import futures


class Pool:
    def map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        return list(futures.map(function, values))


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Start this program again as SCOOP wants it, with `slots` processes in all."""
    if not scoop.IS_RUNNING:
        os.execv(sys.executable, [sys.executable, "-m", "scoop", "-q", "-n", str(slots), *sys.argv])
    yield Pool()
