"""Cluster as a task sees it: an executor that runs each call at once, in the task's own process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NoReturn

from hpcml.cluster.executor import ClusterExecutor
from hpcml.errors import HpcmlError

__all__ = ["SerialCluster"]


class SerialCluster(ClusterExecutor):
    """Runs each call in this process, when it is submitted or its result is taken.

    A Cluster that is sent to a task, in a toolbox of DEAP for one, arrives as this.

    Examples
    --------
    >>> from hpcml.cluster.serial import SerialCluster
    >>> cluster = SerialCluster()
    >>> list(cluster.map(pow, [2, 3], [3, 2])), cluster.submit(abs, -1).result()
    ([8, 9], 1)
    """

    slots = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Call ``fn(*args, **kwargs)`` and return its future, which is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def comm_map(self, fn: Callable[..., Any], /, *args: Any, timeout: float | None = None) -> NoReturn:
        """Raise HpcmlError: a task is one rank, which cannot begin a call of all."""
        raise HpcmlError("comm_map is called in the script: a function of it uses the communicator that it gets")

    def _map(
        self, fn: Callable[..., Any], iterables: Sequence[Iterable[Any]], timeout: float | None
    ) -> Iterator[Any]:
        return map(fn, *iterables)
