"""Scoring of one batch, on a worker: a bad item gets an error for its result, and harms no other."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hpcml.data.broadcast import Broadcast
from hpcml.serving.decoding import decode, group_key, pack_result, stack

__all__ = ["ResultError", "Scored", "Scorer", "prepare", "score_items"]

KEPT_SCORERS = 2  # on a worker: those before and after a change of the model

_scorers: dict[str, "Scorer"] = {}


class ResultError(Exception):
    """Error of a scoring function that has not returned one result for each item."""


class Scorer(NamedTuple):
    """Model, and the function or method that scores a batch with it.

    ``function(model, batch)`` or ``model.method(batch)`` returns a result for each item of the batch.
    """

    version: int
    model: Any
    function: Callable[[Any, Any], Any] | None = None
    method: str = "predict"

    def score(self, batch: Any) -> list[Any]:
        """Return the results of a batch, one for each item.

        Raises
        ------
        ResultError
            There is not one result for each item.
        """
        if self.function is not None:
            found = self.function(self.model, batch)
        else:
            found = getattr(self.model, self.method)(batch)
        if hasattr(found, "to_numpy"):  # a frame's own iterator gives its columns
            found = found.to_numpy()
        if isinstance(found, Mapping | str | bytes):
            raise ResultError(
                f"the scoring function returned a {type(found).__name__}, not a result for each item"
            )
        try:
            results = list(found)
        except TypeError as error:
            raise ResultError(f"the scoring function returned no result for each item: {error}") from error
        if len(results) != len(batch):
            raise ResultError(f"the scoring function returned {len(results)} results for {len(batch)} items")
        return results


class Scored(NamedTuple):
    """Result of an item as JSON, and whether it is an error."""

    content: bytes
    failed: bool


def prepare(handle: Broadcast, key: str, pause: float) -> None:
    """Have the scorer ready on this worker; stay for `pause` seconds, so that each worker gets one such task."""
    _scorer(handle, key)
    time.sleep(pause)


def score_items(handle: Broadcast, key: str, items: Sequence[tuple[str, bytes]]) -> list[Scored]:
    """Return the result of each item, given as its id and content.

    Parameters
    ----------
    handle, key
        The `Scorer` that was broadcast, and a name that no other of them has.
    """
    scorer = _scorer(handle, key)
    results: dict[int, Scored] = {}
    groups: dict[object, list[tuple[int, Any]]] = defaultdict(list)
    for place, (id, content) in enumerate(items):
        try:
            value = decode(content)
        except ValueError as error:
            results[place] = Scored(pack_result(id, scorer.version, error=str(error)), True)
        else:
            groups[group_key(value)].append((place, value))
    for group in groups.values():
        for place, value, problem in _score_group(scorer, group):
            results[place] = _packed(items[place][0], scorer.version, value, problem)
    return [results[place] for place in range(len(items))]


def _scorer(handle: Broadcast, key: str) -> Scorer:
    if key not in _scorers:
        _scorers[key] = handle.value
        for old in list(_scorers)[:-KEPT_SCORERS]:
            del _scorers[old]
    return _scorers[key]


def _score_group(scorer: Scorer, group: Sequence[tuple[int, Any]]) -> list[tuple[int, Any, BaseException | None]]:
    """Score items of one shape; where that fails, score halves, down to the items that fail by themselves."""
    try:
        values = scorer.score(stack([value for _, value in group]))
    except ResultError as error:
        # The function is wrong, and no item: half a batch might pass by chance.
        return [(place, None, error) for place, _ in group]
    except (Exception, SystemExit) as error:
        if len(group) == 1:
            return [(group[0][0], None, error)]
        half = len(group) // 2
        return _score_group(scorer, group[:half]) + _score_group(scorer, group[half:])
    return [(place, value, None) for (place, _), value in zip(group, values, strict=True)]


def _packed(id: str, version: int, value: Any, error: BaseException | None) -> Scored:
    if error is None:
        try:
            return Scored(pack_result(id, version, value), False)
        except (TypeError, ValueError) as problem:
            error = problem
    return Scored(pack_result(id, version, error=f"{type(error).__name__}: {error}"), True)
