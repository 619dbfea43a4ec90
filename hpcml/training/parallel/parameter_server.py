"""Parameter server: weights in the script, and workers of a Cluster that compute gradients for them."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from hpcml.errors import WorkerDied
from hpcml.training.checkpoints.checkpoints import Checkpoints
from hpcml.training.parallel.flat_values import leaves_of, rebuilt, signature

__all__ = ["ParameterServer"]


class ParameterServer:
    """Server of weights, whose updates are made here of gradients that workers compute.

    The process that holds this object is the server. With ``staleness=0`` it is synchronous: all workers compute
    a gradient with the same weights, and an update takes their mean. Otherwise it is asynchronous: workers go on
    while earlier gradients are computed, and each update takes one, which was computed with weights at most
    `staleness` updates old. Updates are made in the order of their numbers, so that results do not depend on the
    speed of workers, as in delayed SGD (Langford, Smola and Zinkevich, 2009, arXiv:0911.0491).

    A gradient whose worker dies is computed again by a Cluster; one that the Cluster gives up (`WorkerDied`) is
    left out, and counted. A server that is killed goes on from its last snapshot, and ends with the same bits.

    Parameters
    ----------
    executor
        `hpcml.Cluster`, or another executor.
    gradient
        ``gradient(weights, number)`` returns a gradient in the dicts, lists and arrays of the weights. The number,
        from 0, says which batch to take. It runs on workers.
    weights
        Arrays, also in dicts, lists and tuples.
    update
        ``update(weights, gradient)`` returns the new weights; or a number, the learning rate of gradient descent.
        Where it has a state, such as momentum, that is part of the weights.
    workers
        Gradients of a synchronous update; by default the slots of the Cluster.
    staleness
        At most so many updates lie between the weights of a gradient and its own update.
    checkpoints
        Where snapshots are saved, and the last is loaded at the start; of one process.
    every
        Number of updates between snapshots. An asynchronous server first takes all gradients that were begun.

    Attributes
    ----------
    weights
        The weights now.
    step
        The number of updates that were made.
    lost
        The number of gradients that were left out, for their worker had died.

    Examples
    --------
    >>> import numpy as np
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from hpcml.training import ParameterServer
    >>> def gradient(weights, number):
    ...     return weights - number % 2
    >>> with ThreadPoolExecutor(2) as workers:  # or hpcml.Cluster()
    ...     server = ParameterServer(workers, gradient, np.zeros(2), 0.5, workers=2)
    ...     np.round(server.run(40), 3)
    array([0.5, 0.5])
    """

    def __init__(
        self,
        executor: Executor,
        gradient: Callable[[Any, int], Any],
        weights: Any,
        update: float | Callable[[Any, Any], Any],
        *,
        workers: int | None = None,
        staleness: int = 0,
        checkpoints: Checkpoints | None = None,
        every: int = 100,
    ) -> None:
        slots = getattr(executor, "slots", 0) if workers is None else workers
        if slots < 1 or staleness < 0 or every < 1:
            raise ValueError(
                f"workers={workers}, staleness={staleness}, every={every}: give at least 1 worker, 0 and 1"
            )
        kinds = {np.asarray(leaf).dtype for leaf in leaves_of(weights)}
        if not callable(update) and any(kind.kind not in "fc" for kind in kinds):
            raise TypeError(f"weights of {', '.join(map(str, kinds))} cannot make steps of {update}: give floats")
        self._executor = executor
        self._gradient = gradient
        self._update = update if callable(update) else _descent(update)
        self._per_update = 1 if staleness else slots
        self._staleness = staleness
        self._checkpoints = checkpoints
        self._every = every
        self.weights, self.step, self.lost = weights, 0, 0
        loaded = checkpoints.load() if checkpoints is not None else None
        if loaded is not None:
            self.weights, self.step, self.lost = loaded.state["weights"], loaded.step, loaded.state["lost"]

    def run(self, updates: int) -> Any:
        """Make updates until so many were made, those of earlier calls and of a snapshot included; return weights.

        Raises
        ------
        Exception
            What a gradient or an update has raised. Gradients that have not begun are cancelled.
        """
        pending: deque[list[Future[Any]]] = deque()
        try:
            while self.step < updates:
                last = self._last_before_stop(updates)
                while len(pending) <= self._staleness and self.step + len(pending) < last:
                    pending.append(self._begin(self.step + len(pending)))
                self._apply(self._results(pending[0]))
                pending.popleft()
                self.step += 1
                if self._checkpoints is not None and self.step % self._every == 0:
                    state = {"weights": self.weights, "lost": self.lost}
                    self._checkpoints.save(state, self.step, wait=False)
        finally:
            for futures in pending:
                for future in futures:
                    future.cancel()
        return self.weights

    def _last_before_stop(self, updates: int) -> int:
        """Return the number of the last update before a snapshot or the end: no gradient begins beyond it."""
        if self._checkpoints is None:
            return updates
        return min(updates, (self.step // self._every + 1) * self._every)

    def _begin(self, step: int) -> list[Future[Any]]:
        numbers = range(step * self._per_update, (step + 1) * self._per_update)
        return [self._executor.submit(self._gradient, self.weights, number) for number in numbers]

    def _results(self, futures: list[Future[Any]]) -> list[Any]:
        """Return the gradients of an update that workers have computed."""
        gradients = []
        for future in futures:
            try:
                gradients.append(future.result())
            except WorkerDied:
                self.lost += 1
        return gradients

    def _apply(self, gradients: list[Any]) -> None:
        if gradients:
            # `update` may change them in place.
            copies = rebuilt(self.weights, map(np.array, leaves_of(self.weights)))
            self.weights = self._update(copies, _mean(gradients))


def _mean(gradients: list[Any]) -> Any:
    """Return the mean of nested arrays, summed in their order."""
    if len({signature(one) for one in gradients}) > 1:
        raise ValueError("gradients have different keys, shapes or types: gradient() returns those of the weights")
    rows = zip(*map(leaves_of, gradients), strict=True)
    return rebuilt(gradients[0], (sum(row[1:], row[0]) / len(row) for row in rows))


def _descent(rate: float) -> Callable[[Any, Any], Any]:
    """Return the update of gradient descent."""

    def _update(weights: Any, gradient: Any) -> Any:
        pairs = zip(leaves_of(weights), leaves_of(gradient), strict=True)
        return rebuilt(weights, ((one - rate * other).astype(one.dtype, copy=False) for one, other in pairs))

    return _update
