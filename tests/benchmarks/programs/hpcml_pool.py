"""hpcml as a user has it: `Cluster()` and its defaults."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from joblib import parallel_config

import hpcml

WORKER = "hpcml.engines.ipyparallel.launcher"  # marks the worker step for `memory`


class Pool:
    def __init__(self, cluster: hpcml.Cluster) -> None:
        self.cluster = cluster

    def each(self, function: Callable[[int], Any]) -> list[Any]:
        """Call `function` as often as there are slots; all being idle, each slot gets one call."""
        return list(self.cluster.map(function, range(self.cluster.slots)))

    def map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        return list(self.cluster.map(function, values))

    def joblib(self, *_: Any) -> AbstractContextManager[Any]:
        return parallel_config("hpcml")


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Open the workers of this allocation; `bare`, without the cost of the user's own imports."""
    with hpcml.Cluster(progress=False, preload=() if bare else None) as cluster:
        if cluster.slots != slots:
            raise RuntimeError(f"{cluster.slots} slots, not {slots}")
        yield Pool(cluster)
