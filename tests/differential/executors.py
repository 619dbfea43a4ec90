"""Executors of a program's calls: plain Python, calls one by one on copies, loky, or a Cluster.

Each ``run(api, function, ids, xs)`` calls ``function(i, x)`` for each pair, as the interface `api` does: ``map``,
``parallel``, ``parallel:N`` (batches of N), ``parallel:generator``, ``submit``. It returns one outcome for each
call, a value or an exception, up to where the interface stops.
"""

import io
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import cloudpickle

__all__ = ["Executor", "Outcome", "isolated", "loky", "on_cluster", "serial"]


class Outcome(NamedTuple):
    """Outcome of a call: its value, its exception, or (in `isolated` alone) the text of its exception."""

    value: Any = None
    error: BaseException | None = None
    text: str | None = None


Executor = Callable[[str, Callable[..., Any], Iterable[int], Iterable[Any]], list[Outcome]]


def serial(api: str, function: Callable[..., Any], ids: Iterable[int], xs: Iterable[Any]) -> list[Outcome]:
    """Call the function here."""

    def call(i: int, x: Any) -> Any:
        return function(i, x)

    if api == "submit":
        return [_outcome(call, i, x) for i, x in zip(ids, xs, strict=False)]
    outcomes = _until_error(map(call, ids, xs))
    failed = outcomes and outcomes[-1].error is not None
    return outcomes[-1:] if failed and api.startswith("parallel") else outcomes


def isolated(
    describe: Callable[[BaseException], str], function: Callable[..., Any], ids: Iterable[int], xs: Iterable[Any]
) -> list[Outcome]:
    """Make each call on a copy of function and arguments as they were when the calls were submitted, in a fork.

    All calls are made, also those after one that raises. This is the definition of the expected outcomes.
    """
    alone = cloudpickle.dumps(function)
    packed = [
        (alone, (i, x)) if type(x) in (int, str, type(None)) else (cloudpickle.dumps((function, i, x)), None)
        for i, x in zip(ids, xs, strict=False)
    ]
    results = _in_fork(lambda: [_call_alone(call, describe) for call in packed])
    return [Outcome(_Results(io.BytesIO(value)).load(), None, text) for value, text in results]


def _in_fork(make: Callable[[], Any]) -> Any:
    """Return the value of `make` in a fork of this process, which prints to the same streams."""
    sys.stdout.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reader)
            with open(writer, "wb") as file:
                file.write(pickle.dumps(make()))
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        packed = file.read()
    os.waitpid(child, 0)
    return pickle.loads(packed)


def _call_alone(
    packed: tuple[bytes, tuple[int, Any] | None], describe: Callable[[BaseException], str]
) -> tuple[bytes, str | None]:
    """Call in a fork of its own where a class is sent: cloudpickle keeps attributes that a call has added."""
    make = partial(_call_copy, packed, describe)
    found: tuple[bytes, str | None] = _in_fork(make) if b"_make_skeleton_" in packed[0] else make()
    return found


class _Results(pickle.Unpickler):
    """Reads results, and leaves the script's classes as they are; cloudpickle makes them those of the fork."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the class or function that is pickled by its name."""
        found = super().find_class(module, name)
        return _set_new if name == "_class_setstate" else found


def _set_new(kind: type, state: Any) -> type:
    own = vars(sys.modules["__main__"]).values()
    return kind if any(kind is value for value in own) else cloudpickle.cloudpickle._class_setstate(kind, state)


def _call_copy(
    packed: tuple[bytes, tuple[int, Any] | None], describe: Callable[[BaseException], str]
) -> tuple[bytes, str | None]:
    loaded = cloudpickle.loads(packed[0])
    function, i, x = (loaded, *packed[1]) if packed[1] else loaded
    try:
        return cloudpickle.dumps(function(i, x)), None
    except BaseException as error:
        return pickle.dumps(None), describe(error)


def loky(api: str, function: Callable[..., Any], ids: Iterable[int], xs: Iterable[Any]) -> list[Outcome]:
    """Use the executor of loky, or joblib with it: one call a batch."""
    from loky import get_reusable_executor

    executor = get_reusable_executor(max_workers=2, timeout=60, reuse=True)
    if api == "map":
        return _until_error(executor.map(function, ids, xs, chunksize=1))
    if api == "submit":  # loky pickles in a thread, later: what changes between two calls is not well defined
        return [_outcome(lambda *args: executor.submit(function, *args).result(), i, x)
                for i, x in zip(ids, xs, strict=False)]  # fmt: skip
    return _parallel("loky", api, function, ids, xs)


def on_cluster(cluster: Any) -> Executor:
    """Return the executor of an open Cluster."""

    def run(api: str, function: Callable[..., Any], ids: Iterable[int], xs: Iterable[Any]) -> list[Outcome]:
        if api == "map":
            return _until_error(cluster.map(function, ids, xs))
        if api == "submit":
            futures = [cluster.submit(function, i, x) for i, x in zip(ids, xs, strict=False)]
            return [_outcome(future.result, 100) for future in futures]
        return _parallel("hpcml", api, function, ids, xs)

    return run


def _parallel(
    backend: str, api: str, function: Callable[..., Any], ids: Iterable[int], xs: Iterable[Any]
) -> list[Outcome]:
    from joblib import Parallel, delayed

    kind = api.partition(":")[2] or "auto"
    size: int | str = int(kind) if kind.isdigit() else "auto"
    settings: dict[str, Any] = {"batch_size": 1 if backend == "loky" else size}
    if kind == "generator":
        settings["return_as"] = "generator"
    parallel = Parallel(n_jobs=2, backend=backend, **settings)
    try:
        results = parallel(delayed(function)(i, x) for i, x in zip(ids, xs, strict=False))
    except Exception as error:
        return [Outcome(None, error)]
    return _until_error(iter(results))


def _outcome(function: Callable[..., Any], *args: Any) -> Outcome:
    try:
        return Outcome(function(*args))
    except Exception as error:
        return Outcome(None, error)


def _until_error(values: Iterator[Any]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    try:
        outcomes += (Outcome(value) for value in values)
    except Exception as error:
        outcomes.append(Outcome(None, error))
    return outcomes
