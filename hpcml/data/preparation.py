"""Initializers of workers, before the first task of a Parallel: ``Parallel(initializer=…, initargs=…)``."""

import pickle
import uuid
from collections.abc import Callable
from typing import Any

from hpcml.data.pickling import dumps, raise_unpicklable

__all__ = ["Preparation", "preparation_of"]

_done = ""  # in a worker: name of its last preparation
_last: "tuple[Callable[..., Any], tuple[Any, ...], Preparation] | None" = None  # in the driver


class Preparation:
    """A call that each worker process makes once, before its first task with this preparation.

    As with loky's executors, a worker has one preparation at a time: a worker that has made another one since then
    makes the call again. So does the replacement of a worker that died.

    Parameters
    ----------
    function, arguments
        The function that is called, and its arguments. They are pickled here: later changes do not reach the
        workers.

    Raises
    ------
    TaskError
        The function or its arguments cannot be pickled.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.name = uuid.uuid4().hex
        try:
            self.packed = dumps((function, arguments))
        except Exception as error:
            raise_unpicklable(error, "the initializer of Parallel", {"": (function, arguments)})

    def run_once(self) -> None:
        """Make the call, unless it was the last that this process has made; its exception is the task's error."""
        global _done  # noqa: PLW0603  one process is one worker
        if _done == self.name:
            return
        _done = ""
        function, arguments = pickle.loads(self.packed)
        try:
            function(*arguments)
        except Exception as error:
            error.add_note("hpcml: raised by the initializer of Parallel(initializer=…)")
            raise
        _done = self.name


def preparation_of(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Preparation:
    """Return the preparation of an initializer; the previous one where function and arguments are equal."""
    global _last  # noqa: PLW0603  as joblib has one executor
    if _last is None or not _are_equal((function, arguments), _last[:2]):
        _last = (function, arguments, Preparation(function, arguments))
    return _last[2]


def _are_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays among the arguments
        return False
