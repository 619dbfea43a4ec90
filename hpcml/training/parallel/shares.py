"""Shares of a batch or of data for ranks of different speeds."""

import math
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["weighted_shares"]


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
