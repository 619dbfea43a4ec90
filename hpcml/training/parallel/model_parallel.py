"""Models divided among ranks of MPI, in numpy: linear layers by columns or rows, and a pipeline of layers.

This is a reference that can be read and checked against one rank. For large models torch has the same: its tensor
parallelism, pipelining and FSDP.

A layer is a function of its input that returns its output and its `back`: a function of the gradient with regard
to the output, which returns the gradient with regard to the input, and those of the layer's weights.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcml.training.parallel.flat_values import leaves_of, rebuilt
from hpcml.training.parallel.shards import shard
from hpcml.training.rank_group import group_of

__all__ = ["Back", "Layer", "SplitLinear", "pipeline_step"]

Array = npt.NDArray[Any]
Back = Callable[[Array], tuple[Array, Any]]
Layer = Callable[[Array], tuple[Array, Back]]


class SplitLinear:
    """Layer ``x @ weights + bias`` of which each rank has a part of the weights.

    With ``split="columns"`` all ranks get the whole input, and return their columns of the output; with
    ``split="rows"`` they get their columns of the input, and all return the whole output. A layer of each kind,
    one after the other with an element-wise function between them, needs one sum over the ranks forwards and one
    backwards (Shoeybi et al., 2019, arXiv:1909.08053).

    Parameters
    ----------
    weights, bias
        The whole layer, of shapes (inputs, outputs) and (outputs,). Each rank copies its part.
    comm
        A communicator of mpi4py; None is this rank alone.
    split
        "columns" or "rows".

    Attributes
    ----------
    weights, bias
        This rank's part. With ``split="rows"`` all ranks have the whole bias, and get the same gradient of it.

    Examples
    --------
    >>> import numpy as np
    >>> from hpcml.training import SplitLinear
    >>> layer = SplitLinear(np.ones((3, 2)), np.zeros(2), split="columns")
    >>> output, back = layer(np.ones((1, 3)))
    >>> output
    array([[3., 3.]])
    >>> gradient, of_weights = back(np.ones((1, 2)))
    >>> gradient, sorted(of_weights)
    (array([[2., 2., 2.]]), ['bias', 'weights'])
    """

    def __init__(self, weights: Array, bias: Array, comm: Any = None, split: str = "columns") -> None:
        if split not in ("columns", "rows"):
            raise ValueError(f"split={split!r}: give 'columns' or 'rows'")
        self._group = group_of(comm)
        self._by_columns = split == "columns"
        mine = shard(weights.shape[self._by_columns], self._group.rank, self._group.size)
        self.weights = weights[:, mine].copy() if self._by_columns else weights[mine].copy()
        self.bias = bias[mine].copy() if self._by_columns else bias.copy()

    def __call__(self, x: Array) -> tuple[Array, Back]:
        output = x @ self.weights
        if not self._by_columns:
            output = self._sum(output)

        def _back(gradient: Array) -> tuple[Array, Any]:
            of_input = gradient @ self.weights.T
            if self._by_columns:
                of_input = self._sum(of_input)
            return of_input, {"weights": x.T @ gradient, "bias": gradient.sum(axis=0)}

        return output + self.bias, _back

    def _sum(self, array: Array) -> Array:
        """Return the sum over the ranks, in a fixed order."""
        total = np.ascontiguousarray(array)
        self._group.sum_into(total.reshape(-1))
        return total


def pipeline_step(
    layer: Layer,
    comm: Any,
    parts: Sequence[Array],
    loss: Callable[[int, Array], tuple[float, Array]],
) -> tuple[float, Any]:
    """Return the loss of a batch and the gradients of this rank's layer, in a pipeline of ranks.

    Rank 0 computes the first layer, the last rank the last one and the loss. The batch is in parts:
    while a rank computes one part, the next rank computes the part before (Huang et al., 2019, arXiv:1811.06965).
    All parts go forwards, then all go backwards.

    Parameters
    ----------
    layer
        This rank's layer, or several as one.
    comm
        A communicator of mpi4py.
    parts
        The inputs of all parts. Ranks but the first use their number alone.
    loss
        ``loss(number, output)`` returns the mean loss over the rows of a part, and its gradient with regard to
        the output. The last rank calls it.

    Returns
    -------
    tuple
        The loss, on all ranks, and gradients: means over the rows of all parts.
    """
    first, last = comm.rank == 0, comm.rank == comm.size - 1
    backs: list[Back] = []
    found: list[tuple[float, Array]] = []
    for number in range(len(parts)):
        output, back = layer(parts[number] if first else _receive(comm, comm.rank - 1))
        backs.append(back)
        if last:
            found.append(loss(number, output))
        else:
            _send(comm, output, comm.rank + 1)
    gradients, rows = [], []
    for number, back in enumerate(backs):
        gradient, of_weights = back(found[number][1] if last else _receive(comm, comm.rank + 1))
        if not first:
            _send(comm, gradient, comm.rank - 1)
        gradients.append(of_weights)
        rows.append(len(gradient))
    means = (float(one) * count / sum(rows) for (one, _), count in zip(found, rows, strict=last))
    return comm.bcast(sum(means), root=comm.size - 1), _weighted_mean(gradients, rows)


def _weighted_mean(values: Sequence[Any], weights: Sequence[int]) -> Any:
    """Return the weighted mean of nested arrays, summed in their order."""
    columns = zip(*map(leaves_of, values), strict=True)
    means = (sum(one * (w / sum(weights)) for one, w in zip(column, weights, strict=True)) for column in columns)
    return rebuilt(values[0], means)


def _send(comm: Any, array: Array, rank: int) -> None:
    comm.send((array.shape, array.dtype.str), rank)
    comm.Send(np.ascontiguousarray(array), rank)


def _receive(comm: Any, rank: int) -> Array:
    shape, kind = comm.recv(source=rank)
    array = np.empty(shape, kind)
    comm.Recv(array, rank)
    return array
