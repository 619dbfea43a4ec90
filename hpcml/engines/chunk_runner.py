"""Runs a chunk: short calls of one function in one message, each as if it had been sent alone."""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from hpcml.data.arguments import Arguments
from hpcml.data.deap import add_individual_note
from hpcml.data.envelope import WithJoblibSettings
from hpcml.data.loading import loads_function
from hpcml.data.packed import Packed
from hpcml.data.values import Values
from hpcml.engines.snapshots import Snapshot, take_snapshot

__all__ = ["Function", "call_with_note", "run_chunk"]

MAX_CHUNK_SECONDS = 0.5  # the rest of a chunk that lasts longer than estimated is sent to other workers
MAX_VALUES_NBYTES = 4 << 20  # in one message
MAX_CHANGES = 3  # in a row; then a function is loaded for each call, without a snapshot


class Function:
    """A function of several calls, loaded anew where a call may have changed an object that belongs to it."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self._snapshot: Snapshot | None = None
        self._changes = 0
        self.is_fixed = False  # nothing in it can be changed by a call
        self.load()

    def load(self) -> None:
        """Load the function."""
        self.called, self.objects = loads_function(self._packed)
        self.call = self.called.function if isinstance(self.called, WithJoblibSettings) else self.called

    def load_again(self) -> None:
        """Load the function as it was sent, for the next call."""
        self.load()
        self.take_snapshot()

    def take_snapshot(self) -> None:
        """Take a snapshot of the function, for the calls that follow."""
        self._snapshot = take_snapshot(self.called) if self._changes < MAX_CHANGES else None
        self.is_fixed = self._snapshot is not None and self._snapshot.is_empty

    def prepare_next(self) -> None:
        """Load the function again before the next call, if the last one has changed it."""
        if self._snapshot is not None and self._snapshot.is_unchanged():
            self._changes = 0
            return
        self._changes += 1
        self.load_again()


def call_with_note(call: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Call a function; a note of an exception says which individual among the arguments was evaluated."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        add_individual_note(error, args)
        raise


def run_chunk(
    function: Function, arguments: Arguments, values: Values, between: Callable[[], None] | None = None
) -> None:
    """Add the value of each call to `values`, up to the first that raises, or until it takes too long.

    `between` is called after each call that returns.
    """
    until = time.perf_counter() + MAX_CHUNK_SECONDS
    called = function.called
    with called.settings() if isinstance(called, WithJoblibSettings) else contextlib.nullcontext():
        function.take_snapshot()
        loaded = arguments.load(function)
        add = values.add
        now = time.perf_counter
        for number in range(arguments.length):
            if number:
                if now() > until or values.nbytes > MAX_VALUES_NBYTES:
                    return
                if not function.is_fixed:
                    function.prepare_next()
            args, kwargs = next(loaded)
            add(call_with_note(function.call, args, kwargs))
            if between is not None:
                between()
