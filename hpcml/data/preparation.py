"""Initializers of workers, before the first task of a Parallel: ``Parallel(initializer=…, initargs=…)``."""

import pickle
import uuid
from collections.abc import Callable
from typing import Any

from hpcml.data.pickling import NamingUnpicklable, dumps

__all__ = ["Preparation", "preparation_of"]

_done = ""  # in a worker: the preparation that it had last
_last: "tuple[Callable[..., Any], tuple[Any, ...], Preparation] | None" = None  # in the driver


class Preparation:
    """A call that each worker process makes once, before its first task that wants it.

    As with loky's executors another preparation takes the place of this one: a worker that has had another since
    then makes the call again, and so does one that takes the place of a worker that died.

    Parameters
    ----------
    function, arguments
        What is called. Their pickle is made here: what is changed later does not reach the workers.

    Raises
    ------
    TaskError
        They cannot be pickled.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.name = uuid.uuid4().hex
        with NamingUnpicklable("the initializer of Parallel", {"": (function, arguments)}):
            self.packed = dumps((function, arguments))

    def run_once(self) -> None:
        """Make the call, unless it was the last that this process has made; what it raises is the task's error."""
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
    """Return what stands for an initializer; the one before where function and arguments are equal to its."""
    global _last  # noqa: PLW0603  as joblib has one executor
    if _last is None or not _equal((function, arguments), _last[:2]):
        _last = function, arguments, Preparation(function, arguments)
    return _last[2]


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays among the arguments
        return False
