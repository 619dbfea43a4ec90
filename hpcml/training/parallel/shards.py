"""Shares of the data that ranks train on: disjoint, complete, and the same in each run with one seed."""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["scaled_rate", "shard", "shares_of_batches", "weighted_shares"]


def shard(rows: int, rank: int, size: int) -> slice:
    """Return the rows of a rank, numbered from 0: one of `size` consecutive parts, equal but for one row.

    Examples
    --------
    >>> from hpcml.training import shard
    >>> [list(range(10)[shard(10, rank, 3)]) for rank in range(3)]
    [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    """
    return slice(rows * rank // size, rows * (rank + 1) // size)


def weighted_shares(total: int, speeds: Sequence[float]) -> tuple[int, ...]:
    """Return how many of `total` items each rank gets, in proportion to its speed.

    The shares add up to `total`, and each is its exact proportion rounded up or down: the method of largest
    remainders (Hamilton's), where of equal remainders the first ranks have theirs. The shares depend on the
    arguments alone: each rank may compute those of all.

    Parameters
    ----------
    total
        The number of items, for instance the rows of a batch of all ranks together.
    speeds
        Of each rank, the items that it finishes in a second, or any multiple of that. A rank of speed 0 gets none.

    Raises
    ------
    ValueError
        The total is below 0, or a speed is; a speed is no finite number, or all are 0.

    Examples
    --------
    Two GPUs of which one is three times as fast; and three that are alike:

    >>> from hpcml.training import weighted_shares
    >>> weighted_shares(256, [3.0, 1.0]), weighted_shares(10, [1, 1, 1])
    ((192, 64), (4, 3, 3))
    """
    if total < 0:
        raise ValueError(f"weighted_shares({total!r}, …): the number of items must be 0 or more")
    if not all(math.isfinite(speed) and speed >= 0 for speed in speeds) or not any(speeds):
        raise ValueError(f"weighted_shares(…, {list(speeds)!r}): speeds are numbers of 0 or more, one above 0")
    weights = [Fraction(speed) for speed in speeds]  # exact, so that all ranks find the same
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(shares)), key=lambda rank: shares[rank] - exact[rank])  # stable: in order
    for rank in by_remainder[: total - sum(shares)]:
        shares[rank] += 1
    return tuple(shares)


def shares_of_batches(
    rows: int,
    batch: int,
    shares_of: Callable[[int], Sequence[int]],
    *,
    rank: int,
    seed: Any,
    epoch: int,
    first: int,
) -> Iterator[npt.NDArray[np.intp]]:
    """Yield a rank's share of each batch of an epoch; see `hpcml.training.DataParallel.batches`.

    The order depends on seed and epoch alone: a resumed program needs no state of it, and all numbers of ranks
    have the same batches. `shares_of` returns how many rows of a batch each rank has.
    """
    order = np.random.default_rng([*np.atleast_1d(seed), epoch]).permutation(rows)
    for start in range(first * batch, rows, batch):
        rows_of_batch = order[start : start + batch]
        shares = shares_of(len(rows_of_batch))
        before = sum(shares[:rank])
        yield rows_of_batch[before : before + shares[rank]]


def scaled_rate(
    rate: float, base_batch: int, batch: int, *, rule: str = "linear", step: int | None = None, warmup: int = 0
) -> float:
    """Return the learning rate for a batch of all ranks that is larger than the one a rate was found for.

    Parameters
    ----------
    rate, base_batch
        A learning rate, and the rows of the batch that it was found with.
    batch
        The rows of a step, of all ranks together.
    rule
        "linear" multiplies the rate by ``batch / base_batch``, for SGD (Goyal et al., 2017, arXiv:1706.02677);
        "sqrt" by its square root, for Adam (Krizhevsky, 2014, arXiv:1404.5997).
    step, warmup
        In the first `warmup` steps, numbered from 0, the rate grows in equal parts from `rate` to its final value.

    Raises
    ------
    ValueError
        The rule is another.

    Examples
    --------
    >>> from hpcml.training import scaled_rate
    >>> scaled_rate(0.1, 256, 1024)
    0.4
    >>> [round(scaled_rate(0.1, 256, 1024, step=step, warmup=3), 3) for step in range(5)]
    [0.1, 0.2, 0.3, 0.4, 0.4]
    """
    factors = {"linear": batch / base_batch, "sqrt": (batch / base_batch) ** 0.5}
    if rule not in factors:
        raise ValueError(f"rule={rule!r}: give one of {', '.join(map(repr, factors))}")
    factor = factors[rule]
    if step is not None and step < warmup:
        factor = 1 + (factor - 1) * step / warmup
    return float(rate * factor)
