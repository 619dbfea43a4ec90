"""Packed futures of SCOOP: a task or an outcome has a pickle of its own, within the pickle of its future.

SCOOP pickles a future as a whole, so that a task, result or exception that cannot be unpickled ends the process
that receives it. Here the failure becomes the error of the one future.

Plain pickle is tried first: it is fast, and a script's functions and classes keep their identity, for every worker
has loaded the script. Where it fails, functions and classes are pickled by value: those whose name now means
another object, as below `functools.wraps` and in the partials of DEAP's toolbox, lambdas, and those defined in
functions.
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
from hpcml.data.pickling import dumps_parts, pack_error, raise_unpicklable
from hpcml.errors import TaskError

__all__ = ["dumps", "name_of", "pack_outcome", "pack_task", "unpack"]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickler by value, except for functions and classes that plain pickle finds by their names."""

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        if isinstance(thing, type) and type(thing) in copyreg.dispatch_table:
            return NotImplemented  # DEAP's creator classes have reductions of their own
        if isinstance(thing, type | FunctionType) and is_found_by_name(thing):
            return NotImplemented
        return super().reducer_override(thing)


def dumps(thing: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> bytes:
    """Return the pickle of `thing`: a plain one, or if that fails one by value."""
    try:
        return pickle.dumps(thing, protocol)
    except Exception:
        stream = io.BytesIO()
        _Pickler(stream, protocol).dump(thing)
        return stream.getvalue()


def name_of(function: Any) -> str:
    """Return the name of a task's function for messages."""
    inner = getattr(function, "func", function)  # a partial's
    return str(getattr(inner, "__qualname__", None) or type(inner).__qualname__)


def pack_task(future: Any) -> bytes:
    """Pack a future that another process is to execute.

    Raises
    ------
    TaskError
        The future cannot be sent; the message names the object that cannot.
    """
    name = name_of(future.callable)
    call = (future.callable, future.args, future.kargs)
    parts = {"the function": future.callable, "args": future.args, "kwargs": future.kargs}
    try:
        packed = dumps(call)
    except Exception as error:
        raise_unpicklable(error, f"the task {name}", parts)
    return _pack(future, ("task", name, packed))


def pack_outcome(future: Any, name: str, worker: str) -> bytes:
    """Pack a future that has been executed; a value that cannot be sent becomes a TaskError."""
    value = future.resultValue
    error = future.exceptionValue
    trace = getattr(future, "exceptionTraceback", "")
    if error is None:
        try:
            packed = dumps(value)
        except Exception as failure:
            error = TaskError(
                f"the result of {name} on {worker} cannot be sent: {_describe_failure(value, failure)}"
            )
            trace = ""
    if error is not None:
        return _pack(future, ("error", name, pack_error(error), worker, trace))
    return _pack(future, ("value", name, packed))


def _describe_failure(value: Any, failure: Exception) -> str:
    """Return the reason why a value cannot be pickled: if possible, the part of the value that cannot."""
    try:
        dumps_parts(value)
    except Exception as error:
        return str(error)
    return str(failure)


def _pack(future: Any, content: tuple[Any, ...]) -> bytes:
    """Return the pickle of a future without its task and outcome, and of `content` in their place."""
    stub = copy.copy(future)
    stub.callable = stub.greenlet = stub.resultValue = stub.exceptionValue = None
    stub.args = ()
    stub.kargs = {}
    stub.children = {}
    stub.callback = []
    vars(stub).pop("exceptionTraceback", None)
    return pickle.dumps((stub, content), pickle.HIGHEST_PROTOCOL)


def unpack(packed: bytes) -> Any:
    """Return a future that `pack_task` or `pack_outcome` has packed.

    A task that cannot be unpickled becomes one that raises the error, an outcome becomes the error.
    """
    future, (kind, name, pickled, *origin) = pickle.loads(packed)
    try:
        content = pickle.loads(pickled)
    except BaseException as failure:  # user code may raise any
        if kind == "task":
            future.callable = _raise
            future.args = (_unpickling_error(kind, name, "on a worker", failure),)
        else:
            future.exceptionValue = _unpickling_error(kind, name, "in the script's process", failure)
        return future
    if kind == "task":
        future.callable, future.args, future.kargs = content
    elif kind == "value":
        future.resultValue = content
    else:
        worker, trace = origin
        if trace:
            attach_cause(content, RemoteTraceback(worker, trace))
        future.exceptionValue = content
    return future


def _raise(error: BaseException) -> None:
    """Raise an error, as the function of a task that cannot be unpickled."""
    raise error


def _unpickling_error(kind: str, name: str, where: str, failure: BaseException) -> TaskError:
    """Return the error for a task, result or error that cannot be unpickled."""
    text = "".join(traceback.format_exception_only(failure)).strip()
    subject = f"the task {name}" if kind == "task" else f"the {'result' if kind == 'value' else 'error'} of {name}"
    hint = ""
    if isinstance(failure, AttributeError | ImportError):
        hint = (
            ". Workers load the script as a module: define what is sent at its top level, outside of "
            '`if __name__ == "__main__":`'
        )
    return TaskError(f"{subject} cannot be unpickled {where}: {text}{hint}")
