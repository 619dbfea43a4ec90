"""Futures of SCOOP as they are sent, each around a pickle of its own that only those concerned open.

SCOOP pickles a future as a whole, so that a task, result or exception that cannot be unpickled ends the process
that receives it. Here it becomes the error of the one future.

Plain pickle goes first: it is fast, and a script's functions and classes keep their identity, for every worker has
loaded the script. What it cannot do goes by value: functions under a name that now means another, as below
`functools.wraps` and in the partials of DEAP's toolbox, lambdas, and what is defined in functions.
"""

import copy
import copyreg
import io
import pickle
import traceback
from types import FunctionType
from typing import Any

import cloudpickle

from hpcml.data.definitions import is_found_by_name
from hpcml.data.exceptions import attach_cause
from hpcml.data.outcomes import RemoteTraceback
from hpcml.data.pickling import NamingUnpicklable, dumps_parts, pack_error
from hpcml.errors import TaskError

__all__ = ["dumps", "name_of", "pack_outcome", "pack_task", "unpack"]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's, but what plain pickle finds by its name goes by its name."""

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        if isinstance(thing, type) and type(thing) in copyreg.dispatch_table:
            return NotImplemented  # DEAP's creator classes know how they are pickled
        if isinstance(thing, type | FunctionType) and is_found_by_name(thing):
            return NotImplemented
        return super().reducer_override(thing)


def dumps(thing: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> bytes:
    """Pickle `thing`: plainly, or if that fails by value."""
    try:
        return pickle.dumps(thing, protocol)
    except Exception:
        stream = io.BytesIO()
        _Pickler(stream, protocol).dump(thing)
        return stream.getvalue()


def name_of(function: Any) -> str:
    """Return what a message calls a task's function."""
    inner = getattr(function, "func", function)  # a partial's
    return str(getattr(inner, "__qualname__", None) or type(inner).__qualname__)


def pack_task(future: Any) -> bytes:
    """Pack a future that is to be executed elsewhere.

    Raises
    ------
    TaskError
        It cannot be sent; the message names the object that cannot.
    """
    name = name_of(future.callable)
    call = (future.callable, future.args, future.kargs)
    parts = {"the function": future.callable, "args": future.args, "kwargs": future.kargs}
    with NamingUnpicklable(f"the task {name}", parts):
        packed = dumps(call)
    return _pack(future, ("task", name, packed))


def pack_outcome(future: Any, name: str, worker: str) -> bytes:
    """Pack a future that has been executed; a value that cannot be sent becomes a TaskError."""
    value, error = future.resultValue, future.exceptionValue
    trace = getattr(future, "exceptionTraceback", "")
    if error is None:
        try:
            packed = dumps(value)
        except Exception as failure:
            error = TaskError(f"the result of {name} on {worker} cannot be sent: {_why(value, failure)}")
            trace = ""
    if error is not None:
        return _pack(future, ("error", name, pack_error(error), worker, trace))
    return _pack(future, ("value", name, packed))


def _why(value: Any, failure: Exception) -> str:
    try:
        dumps_parts(value)
    except TaskError as error:
        return str(error)
    except Exception as error:
        return str(error)
    return str(failure)


def _pack(future: Any, parcel: tuple[Any, ...]) -> bytes:
    stub = copy.copy(future)
    stub.callable = stub.greenlet = stub.resultValue = stub.exceptionValue = None
    stub.args, stub.kargs, stub.children, stub.callback = (), {}, {}, []
    vars(stub).pop("exceptionTraceback", None)
    return pickle.dumps((stub, parcel), pickle.HIGHEST_PROTOCOL)


def unpack(packed: bytes) -> Any:
    """Return a future that `pack_task` or `pack_outcome` has packed.

    What cannot be unpickled becomes the future's error, or a task that raises it.
    """
    future, (kind, name, parcel, *about) = pickle.loads(packed)
    try:
        content = pickle.loads(parcel)
    except BaseException as failure:  # of the user's, so anything
        if kind == "task":
            future.callable, future.args = _fail, (_unreadable(kind, name, "on a worker", failure),)
        else:
            future.exceptionValue = _unreadable(kind, name, "in the script's process", failure)
        return future
    if kind == "task":
        future.callable, future.args, future.kargs = content
    elif kind == "value":
        future.resultValue = content
    else:
        worker, trace = about
        if trace:
            attach_cause(content, RemoteTraceback(worker, trace))
        future.exceptionValue = content
    return future


def _fail(error: BaseException) -> None:
    """Take the place of a task that cannot be unpickled."""
    raise error


def _unreadable(kind: str, name: str, where: str, failure: BaseException) -> TaskError:
    text = "".join(traceback.format_exception_only(failure)).strip()
    what = f"the task {name}" if kind == "task" else f"the {'result' if kind == 'value' else 'error'} of {name}"
    hint = ""
    if isinstance(failure, AttributeError | ImportError):
        hint = (
            ". Workers load the script as a module: define what is sent at its top level, outside of "
            '`if __name__ == "__main__":`'
        )
    return TaskError(f"{what} cannot be unpickled {where}: {text}{hint}")
