"""Data-parallel training: each rank has a copy of the model, and a share of each batch; all make the same step."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcml.training.parallel.flat_values import leaves_of, rebuilt, signature, typed_as, weighted
from hpcml.training.parallel.shards import shares_of_batches, weighted_shares
from hpcml.training.parallel.torch_gradients import average_gradients, copy_module
from hpcml.training.rank_group import RankGroup, group_of, is_one_of_several

__all__ = ["DataParallel"]

_FITTED = ("coef_", "intercept_", "coefs_", "intercepts_")


class DataParallel:
    """Ranks that train copies of one model, each on its share of each batch.

    Gradients are weighted by rows and summed in one flat buffer, in a fixed order. They equal those of one rank
    but for rounding, also where shares differ in size, and all ranks get the same bits. A resumed training on the
    same number of ranks ends with the bits of an uninterrupted one.

    Parameters
    ----------
    comm
        The ranks: a communicator of mpi4py, or a process group of torch.distributed. None is the default group of
        torch.distributed where that is open, else this process alone.

    Attributes
    ----------
    rank, size
        The number of this rank, from 0, and the number of ranks.

    Raises
    ------
    ValueError
        `comm` is missing in a program that mpirun or torchrun has started as several ranks.

    Examples
    --------
    >>> import numpy as np
    >>> from hpcml.training import DataParallel
    >>> X = np.random.default_rng(0).normal(size=(1000, 3))
    >>> y = X @ [1.0, 2.0, 3.0]
    >>> parallel = DataParallel()  # of one rank; under mpirun: DataParallel(MPI.COMM_WORLD)
    >>> weights = np.zeros(3)
    >>> for epoch in range(5):
    ...     for mine in parallel.batches(len(X), 100, seed=7, epoch=epoch):
    ...         gradient = X[mine].T @ (X[mine] @ weights - y[mine]) / len(mine)
    ...         weights -= 0.3 * parallel.mean(gradient, len(mine))
    >>> np.round(weights, 3)
    array([1., 2., 3.])
    """

    def __init__(self, comm: Any = None) -> None:
        self._group: RankGroup = group_of(comm)
        if comm is None and self._group.size == 1 and is_one_of_several():
            raise ValueError(
                "this program is one of several ranks, and DataParallel() would train on each alone: give "
                "comm=MPI.COMM_WORLD, the communicator of comm_map, or comm=MPI.COMM_SELF; of torch, call "
                "torch.distributed.init_process_group() before"
            )
        self.rank, self.size = self._group.rank, self._group.size

    def batches(
        self,
        rows: int,
        batch: int,
        *,
        seed: Any,
        epoch: int = 0,
        first: int = 0,
        speeds: Sequence[float] | None = None,
    ) -> Iterator[npt.NDArray[np.intp]]:
        """Yield the rows of this rank in each batch of an epoch; every row is in one batch of one rank.

        Batches depend on seed and epoch alone, and are the same on any number of ranks. The last one of an epoch
        may be smaller. A share may be empty where a batch has fewer rows than there are ranks.

        Parameters
        ----------
        rows
            Number of rows of the data.
        batch
            Rows of a step, of all ranks together.
        seed, epoch
            What the order is made of.
        first
            Number of batches that are skipped, those before the checkpoint of a resumed training.
        speeds
            The speed of each rank, the same list on all: shares are in proportion. None gives equal shares. A
            resumed training has the bits of an uninterrupted one with the same speeds only.

        Examples
        --------
        >>> from hpcml.training import DataParallel
        >>> sorted(row for mine in DataParallel().batches(7, 3, seed=1) for row in mine.tolist())
        [0, 1, 2, 3, 4, 5, 6]
        """
        if rows < 1 or batch < 1:
            raise ValueError(f"rows={rows}, batch={batch}: both are at least 1")
        if speeds is not None and len(speeds) != self.size:
            raise ValueError(f"speeds={list(speeds)}: give one for each of {self.size} ranks")
        shares = partial(weighted_shares, speeds=[1] * self.size if speeds is None else list(speeds))
        shares_of = cache(shares)  # of whole batches, and of the last one
        return shares_of_batches(rows, batch, shares_of, rank=self.rank, seed=seed, epoch=epoch, first=first)

    def speeds(self, rows: int, seconds: float) -> list[float]:
        """Return the speeds of all ranks, in rows per second. All ranks call this together.

        Parameters
        ----------
        rows, seconds
            The rows of this rank's shares of some batches, and the seconds of computing their gradients: those of
            waiting for other ranks, as in `mean`, do not count.

        Examples
        --------
        >>> from hpcml.training import DataParallel
        >>> DataParallel().speeds(rows=600, seconds=0.5)
        [1200.0]
        """
        return self._group.gather(rows / seconds)

    def mean(self, values: Any, samples: int) -> Any:
        """Return the mean of all ranks' values, weighted by their samples. All ranks call this together.

        Parameters
        ----------
        values
            Arrays or numbers, also in dicts, lists and tuples: means over the samples of this rank, such as its
            loss and gradient. All ranks have the same keys, shapes and types.
        samples
            The number of rows that they are means over; with 0 the values do not count.

        Returns
        -------
        object
            New arrays in the same dicts, lists and tuples, of the same types.

        Raises
        ------
        ValueError
            The values of ranks differ in shape or type, or no rank has samples.
        """
        numbers = self._group.gather_numbers([samples, signature(values)])
        share = self._share([one for one, _ in numbers], [other for _, other in numbers])
        leaves = leaves_of(values)
        flats, views = weighted(leaves, share)
        for flat in flats:
            self._group.sum_into(flat)
        return rebuilt(values, map(typed_as, leaves, views))

    def average_gradients(self, model: Any, samples: int) -> None:
        """Put the mean of all ranks' gradients into those of a torch module, after ``loss.backward()``.

        Unlike torch's DistributedDataParallel this weights ranks by their samples, and has the same bits after a
        resume. It begins after the last gradient is known, and so hides no communication behind the backward pass.

        Parameters
        ----------
        model
            Module or parameters, the same on all ranks. Half precision is summed in single precision.
        samples
            Rows of this rank, over which its loss is the mean.

        Raises
        ------
        ValueError
            The modules of ranks differ, or no rank has samples.
        """
        parameters = model.parameters() if hasattr(model, "parameters") else model
        average_gradients(self._group, parameters, samples, self._share)

    def partial_fit(self, estimator: Any, data: Any, target: Any = None, **arguments: Any) -> Any:
        """Fit an estimator of scikit-learn to this rank's rows, and average its weights over the ranks.

        This is averaging of parameters (local SGD): it equals the fit of one rank where `partial_fit` makes one
        step with the mean gradient, and is another algorithm otherwise, whose loss is to be compared.

        Parameters
        ----------
        estimator
            Estimator with ``coef_`` and ``intercept_``, or ``coefs_`` and ``intercepts_``, such as SGDClassifier,
            SGDRegressor, MLPClassifier, MLPRegressor; the same on all ranks.
        data, target
            Rows of this rank; after the first call they may be none.
        **arguments
            Of its partial_fit. A classifier needs ``classes=`` at first, for a rank may lack one.

        Returns
        -------
        object
            The estimator.

        Raises
        ------
        TypeError
            The estimator has no such weights: means of counts or of trees are no model; or it averages its steps.
        """
        if getattr(estimator, "average", False):
            raise TypeError(
                f"{type(estimator).__name__}(average={estimator.average!r}) averages its own steps, and not those "
                "of other ranks: leave average out"
            )
        rows = data.shape[0] if hasattr(data, "shape") else len(data)  # a sparse array has no length
        if rows:
            estimator.partial_fit(data, *([] if target is None else [target]), **arguments)
        names = [name for name in _FITTED if hasattr(estimator, name)]
        if rows and not names:
            raise TypeError(
                f"{type(estimator).__name__} has none of {', '.join(_FITTED)} after partial_fit: only linear "
                "models and multi-layer perceptrons can be averaged"
            )
        self._average_weights(estimator, names, rows)
        return estimator

    def _average_weights(self, estimator: Any, names: list[str], rows: int) -> None:
        weights = {name: getattr(estimator, name) for name in names}
        for here, mean in zip(leaves_of(weights), leaves_of(self.mean(weights, rows)), strict=True):
            np.copyto(here, mean)  # optimizers hold references to these arrays

    def copy_first(self, model: Any) -> Any:
        """Return the model of rank 0: a module of torch changes in place, and of arrays there are new ones.

        All ranks call this together, before the first step. Their models have the same shapes and types.
        """
        if hasattr(model, "parameters"):
            copy_module(self._group, model)
            return model
        copies = [np.array(leaf, order="C") for leaf in leaves_of(model)]
        for copy in copies:
            self._group.copy_first(copy.reshape(-1))
        return rebuilt(model, iter(copies))

    def _share(self, samples: list[int], outlines: list[int]) -> float:
        """Return this rank's share of the mean over all samples."""
        for rank, outline in enumerate(outlines):
            if outline != outlines[0]:
                raise ValueError(
                    f"the values of rank {rank} have other keys, shapes or types than those of rank 0: all ranks "
                    "give the same"
                )
        if min(samples) < 0 or not sum(samples):
            raise ValueError(f"the samples of the ranks are {samples}: at least one rank has some")
        return samples[self.rank] / sum(samples)
