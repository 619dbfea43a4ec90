"""Trees of mapReduce and mapScan: neighbours are joined first, half with half.

Their shape is SCOOP's and depends on the number of items alone, so that floats come out the same on any number of
slots. Lower branches are tasks, the top is joined in the driver.
"""

# ruff: noqa: N803  the names are SCOOP's

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["branches", "join_branches", "join_scans", "reduce_tree", "scan_tree"]


def branches(tuples: list[Any], depth: int) -> list[list[Any]]:
    """Return the parts of `tuples` after halving it `depth` times, in order.

    Examples
    --------
    >>> from hpcml.cluster.scoop.reductions import branches
    >>> branches([1, 2, 3, 4, 5], 2)
    [[1], [2], [3], [4, 5]]
    """
    half = len(tuples) // 2
    if depth == 0 or half == 0:
        return [tuples]
    return branches(tuples[:half], depth - 1) + branches(tuples[half:], depth - 1)


def join_branches(length: int, depth: int, join: Callable[[Any, Any], Any], results: Iterator[Any]) -> Any:
    """Join the results of the `branches` of so many tuples, in the order of the whole tree."""
    half = length // 2
    if depth == 0 or half == 0:
        return next(results)
    left = join_branches(half, depth - 1, join, results)
    return join(left, join_branches(length - half, depth - 1, join, results))


def reduce_tree(
    mapFunc: Callable[..., Any], reductionFunc: Callable[[Any, Any], Any], tuples: list[tuple[Any, ...]]
) -> Any:
    """Map all tuples of arguments, and reduce the results half with half."""
    half = len(tuples) // 2
    if half == 0:
        return mapFunc(*tuples[0])
    left = reduce_tree(mapFunc, reductionFunc, tuples[:half])
    return reductionFunc(left, reduce_tree(mapFunc, reductionFunc, tuples[half:]))


def scan_tree(
    mapFunc: Callable[..., Any], reductionFunc: Callable[[Any, Any], Any], tuples: list[tuple[Any, ...]]
) -> list[Any]:
    """Map all tuples of arguments, and return the intermediate values of their reduction half with half."""
    half = len(tuples) // 2
    if half == 0:
        return [mapFunc(*tuples[0])]
    left = scan_tree(mapFunc, reductionFunc, tuples[:half])
    return join_scans(reductionFunc, left, scan_tree(mapFunc, reductionFunc, tuples[half:]))


def join_scans(reductionFunc: Callable[[Any, Any], Any], left: list[Any], right: list[Any]) -> list[Any]:
    """Return the scan of two halves: both, with the reduction of all in place of that of the right one."""
    return [*left, *right[:-1], reductionFunc(left[-1], right[-1])]
