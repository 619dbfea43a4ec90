"""Model that is served: the version in use is followed, and brought to the workers before it is used."""

import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass
from typing import Any

from hpcml.cluster.cluster import Cluster
from hpcml.data.broadcast import Broadcast
from hpcml.errors import HpcmlError
from hpcml.models.store import ModelStore
from hpcml.serving.scoring import Scorer, prepare

__all__ = ["Follower", "ReadyModel", "Served"]

log = logging.getLogger("hpcml")

LOOK_SECONDS = 0.2  # between two looks at the version in use
RETRY_SECONDS = 5.0  # from the failure of a version to its next attempt
PREPARE_SECONDS = 120.0  # for the workers to have a model ready
START_PAUSE_SECONDS = 0.05  # that a worker stays with the first model, so that all get it before the first item

_numbers = itertools.count()


@dataclass(frozen=True)
class Served:
    """Model of a store, and how a batch is scored with it.

    Parameters
    ----------
    version
        The only one to be used; None follows the version in use.
    trusted
        See `hpcml.models.ModelStore.load`.
    """

    store: ModelStore
    name: str
    version: int | None = None
    function: Callable[[Any, Any], Any] | None = None
    method: str = "predict"
    trusted: Collection[str] = ()

    def wanted(self) -> int:
        """Return the number of the version to be used.

        Raises
        ------
        HpcmlError
            There is none.
        """
        return self.version or self.store.version(self.name).version

    def load(self, version: int) -> Scorer:
        """Return the scorer of a version.

        Raises
        ------
        HpcmlError
            There is no such version, it is damaged, or has no such method.
        """
        model = self.store.load(self.name, version, self.trusted)
        if self.function is None and not hasattr(model, self.method):
            kind = type(model).__name__
            raise HpcmlError(
                f"{self.name} is a {kind}, which has no method {self.method}: name a function(model, batch) with "
                "--function MODULE:FUNCTION, or another method with --method"
            )
        return Scorer(version, model, self.function, self.method)


@dataclass(frozen=True)
class ReadyModel:
    """Scorer that is on the nodes, with the name that workers keep it by."""

    version: int
    handle: Broadcast
    key: str

    @classmethod
    def of(cls, scorer: Scorer, cluster: Cluster, pause: float = 0.0) -> "ReadyModel":
        """Put a scorer on the nodes, and have the workers load it.

        Raises
        ------
        HpcmlError
            A worker cannot load it, a node has no space, or the workers are busy with other tasks for long.
        """
        ready = cls(scorer.version, cluster.broadcast(scorer), f"{os.getpid()}-{next(_numbers)}")
        try:
            ready._prepare(cluster, pause)
        except Exception as error:
            ready.handle.close()
            raise HpcmlError(
                f"a worker cannot load version {scorer.version} of the model: {type(error).__name__}: {error}"
            ) from error
        return ready

    def _prepare(self, cluster: Cluster, pause: float) -> None:
        futures = [cluster.submit(prepare, self.handle, self.key, pause) for _ in range(cluster.slots)]
        done, waiting = wait(futures, PREPARE_SECONDS, return_when=FIRST_EXCEPTION)
        for future in waiting:
            future.cancel()
        for future in done:
            future.result()
        if waiting:
            raise TimeoutError(
                f"the workers were busy for {PREPARE_SECONDS:g} s, and {len(waiting)} of {len(futures)} had no "
                "time to load it"
            )


class Follower:
    """Thread that looks for another version in use, and calls `use` with that when the workers have it.

    A version that cannot be loaded is logged, and the former one stays. The version is tried again after a while:
    a node that was lost meanwhile may have been the cause.
    """

    def __init__(
        self, served: Served, cluster: Cluster, current: int, use: Callable[[ReadyModel], object]
    ) -> None:
        self._served, self._cluster, self._current, self._use = served, cluster, current, use
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="hpcml-follower", daemon=True)
        if served.version is None:
            self._thread.start()

    def _follow(self) -> None:
        tried, again, logged = 0, 0.0, ""
        while not self._ended.wait(LOOK_SECONDS):
            try:
                wanted = self._served.wanted()
                if wanted == self._current or (wanted == tried and time.monotonic() < again):
                    continue
                tried, again = wanted, math.inf
                self._use(ReadyModel.of(self._served.load(wanted), self._cluster))
                self._current = wanted
            except Exception as error:
                again = time.monotonic() + RETRY_SECONDS
                if not self._ended.is_set() and str(error) != logged:
                    log.error("the former version stays in use: %s", error)
                    logged = str(error)

    def close(self) -> None:
        """End the thread; one that loads a model ends when it has."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
