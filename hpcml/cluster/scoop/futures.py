"""``scoop.futures``: the calls of a SCOOP program, as tasks of the Cluster that was opened last.

In a task they run in its own worker; see `hpcml.cluster.scoop`.
"""

# ruff: noqa: N802, N803  the names are SCOOP's

import concurrent.futures
import itertools
import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from hpcml.cluster.cluster import Cluster
from hpcml.cluster.current import current_cluster
from hpcml.cluster.scoop.future import CallbackType as CallbackType  # noqa: PLC0414  SCOOP has it here too
from hpcml.cluster.scoop.future import DoneAndNotDoneFutures, Future, call_due_callbacks, seconds_of, wait_until
from hpcml.cluster.scoop.reductions import branches, join_branches, join_scans, reduce_tree, scan_tree
from hpcml.cluster.scoop.shared import constants_for
from hpcml.cluster.scoop.task_context import WithConstants, in_driver

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Future",
    "as_completed",
    "map",
    "mapReduce",
    "mapScan",
    "map_as_completed",
    "shutdown",
    "submit",
    "wait",
]

FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"

SUBTREES_PER_SLOT = 4  # of a mapReduce: with so many, the slots end at about the same time


def submit(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
    """Submit the call ``func(*args, **kwargs)`` and return its `Future`; in a task, run it at once."""
    _check_callable(func)
    if in_driver():
        cluster = current_cluster()
        return Future(func, args, kwargs, cluster.submit(_with_constants(func, cluster), *args, **kwargs))
    inner: concurrent.futures.Future[Any] = concurrent.futures.Future()
    try:
        inner.set_result(func(*args, **kwargs))
    except Exception as error:  # raised where the result is taken
        inner.set_exception(error)
    return Future(func, args, kwargs, inner)


def map(func: Callable[..., Any], /, *iterables: Iterable[Any], **kwargs: Any) -> Iterator[Any]:
    """Return an iterator over ``func`` of each tuple of arguments, in order; the tasks are submitted by this call.

    In a task each call runs when its result is taken.

    Parameters
    ----------
    iterables
        Iterables of the arguments, until the shortest ends.
    timeout
        Seconds from this call on, after which a missing result raises TimeoutError; in a task there is no limit.
    """
    _check_callable(func)
    timeout = _timeout("map", kwargs)
    if not in_driver():
        return _call_in_turn(func, list(zip(*iterables, strict=False)))
    cluster = current_cluster()
    return _with_callbacks(cluster.map(_with_constants(func, cluster), *iterables, timeout=timeout))


def _call_in_turn(func: Callable[..., Any], tuples: list[tuple[Any, ...]]) -> Iterator[Any]:
    yield from itertools.starmap(func, tuples)


def _with_callbacks(results: Iterator[Any]) -> Iterator[Any]:
    """Yield the results; between them, call the callbacks of futures that have ended."""
    for result in results:
        call_due_callbacks()
        yield result


def map_as_completed(func: Callable[..., Any], /, *iterables: Iterable[Any], **kwargs: Any) -> Iterator[Any]:
    """Return an iterator over the results of ``map``, each as soon as its task has ended."""
    timeout = _timeout("map_as_completed", kwargs)
    futures = [submit(func, *args) for args in zip(*iterables, strict=False)]
    return (future.result() for future in as_completed(futures, timeout))


def as_completed(fs: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Yield futures as they end; raise the exception of a task that failed, as SCOOP does.

    Raises
    ------
    TimeoutError
        Not all have ended `timeout` seconds after the first is asked for.
    """
    left = list(dict.fromkeys(fs))
    seconds = seconds_of(timeout)
    end = None if seconds is None else time.monotonic() + seconds
    ended: deque[Future] = deque()
    for future in left:
        future.listen(ended)
    for number in range(len(left)):
        if not wait_until(lambda: bool(ended), None if end is None else max(end - time.monotonic(), 0)):
            raise TimeoutError(f"{len(left) - number} of {len(left)} futures have not ended after {timeout:g} s")
        yield _raise_error_of(ended.popleft())


def wait(
    fs: Iterable[Future], timeout: float | None = -1, return_when: str = ALL_COMPLETED
) -> DoneAndNotDoneFutures:
    """Wait until futures have ended, and return those that have and those that have not.

    Parameters
    ----------
    timeout
        Seconds; a negative number: no limit. Without a limit the exception of a task that failed is raised here,
        as SCOOP does.
    return_when
        ``ALL_COMPLETED``; ``FIRST_COMPLETED``: one has ended; ``FIRST_EXCEPTION``: one has failed, or all ended.
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(
            f"wait(return_when={return_when!r}): choose ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION"
        )
    futures = list(dict.fromkeys(fs))
    seconds = seconds_of(timeout)
    ended: deque[Future] = deque()
    for future in futures:
        future.listen(ended)
    done: set[Future] = set()
    stops_at_error = seconds is None or return_when != ALL_COMPLETED

    def _reached() -> bool:
        new = [ended.popleft() for _ in range(len(ended))]
        done.update(new)
        first = return_when == FIRST_COMPLETED and len(done) > 0
        return first or len(done) == len(futures) or (stops_at_error and any(_failed(future) for future in new))

    wait_until(_reached, seconds)
    if seconds is None:
        for future in futures:
            if future in done:
                _raise_error_of(future)
    return DoneAndNotDoneFutures(done, set(futures) - done)


def mapReduce(
    mapFunc: Callable[..., Any],
    reductionFunc: Callable[[Any, Any], Any],
    /,
    *iterables: Iterable[Any],
    **kwargs: Any,
) -> Any:
    """Return the reduction of the results of ``map`` by `reductionFunc`: neighbours first, half with half."""
    return _map_and_join(
        partial(reduce_tree, mapFunc, reductionFunc), reductionFunc, "mapReduce", iterables, kwargs
    )


def mapScan(
    mapFunc: Callable[..., Any],
    reductionFunc: Callable[[Any, Any], Any],
    /,
    *iterables: Iterable[Any],
    **kwargs: Any,
) -> list[Any]:
    """Return the intermediate values of a `mapReduce`, the final one last.

    As in SCOOP, each is the reduction of its own half of a half, not of all items before it: running totals are
    ``itertools.accumulate(futures.map(…), …)``.
    """
    join = partial(join_scans, reductionFunc)
    found: list[Any] = _map_and_join(
        partial(scan_tree, mapFunc, reductionFunc), join, "mapScan", iterables, kwargs
    )
    return found


def _map_and_join(
    tree: Callable[[list[Any]], Any],
    join: Callable[[Any, Any], Any],
    name: str,
    iterables: Sequence[Iterable[Any]],
    kwargs: dict[str, Any],
) -> Any:
    """Return the value of `tree` over all tuples of arguments, its lower branches as one task each."""
    timeout = _timeout(name, kwargs)
    tuples = list(zip(*iterables, strict=False))
    if not tuples:
        raise IndexError(f"{name} of nothing: each iterable must have an item")
    if not in_driver():
        return tree(tuples)
    cluster = current_cluster()
    depth = int(math.log2(cluster.slots * SUBTREES_PER_SLOT))
    results = cluster.map(_with_constants(tree, cluster), branches(tuples, depth), timeout=timeout)
    return join_branches(len(tuples), depth, join, results)


def shutdown(wait: bool = True) -> None:
    """Do nothing; `hpcml run` ends the workers with the script."""


def _check_callable(func: object) -> None:
    if not callable(func):
        raise TypeError(f"{func!r} is a {type(func).__name__}, which cannot be called: pass the function first")


def _with_constants(func: Callable[..., Any], cluster: Cluster) -> WithConstants:
    return WithConstants(func, constants_for(cluster), cluster.slots)


def _timeout(name: str, kwargs: dict[str, Any]) -> float | None:
    """Return the keyword argument `timeout`; any other does not reach the tasks in SCOOP either."""
    others = sorted(set(kwargs) - {"timeout"})
    if others:
        warnings.warn(
            f"futures.{name} does not pass {', '.join(others)} on to the tasks, nor does SCOOP: bind keyword "
            "arguments with functools.partial",
            RuntimeWarning,
            stacklevel=3,
        )
    return seconds_of(kwargs.get("timeout"))


def _failed(future: Future) -> bool:
    return not future.cancelled() and future.exceptionValue is not None


def _raise_error_of(future: Future) -> Future:
    """Raise the exception of a task that failed; return the future of any other."""
    if _failed(future):
        future.result()
    return future
