"""Results of `hpcml.map_array`, in the order of the calls, as the elements of the array write them."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpcml.cluster.jobs.array_source import ArraySource
from hpcml.cluster.jobs.element import to_ranges
from hpcml.cluster.jobs.scheduler import Scheduler
from hpcml.cluster.jobs.watcher import watch
from hpcml.data.outcomes import Outcome
from hpcml.errors import ArrayFailed, HpcmlError
from hpcml.slurm.jobs.queue import Listing

__all__ = ["ArrayResults"]

SHOWN_ERRORS = 10  # of different ones, in a message


class ArrayResults(Iterator[Any]):
    """Iterator over the results of `hpcml.map_array`, in the order of the calls.

    Parameters
    ----------
    name
        Name of the function.
    total
        Number of calls.
    known
        Results of earlier arrays, by the number of the call.
    sources
        Arrays that run the other calls.
    """

    def __init__(
        self, name: str, total: int, known: Mapping[int, Any], sources: Sequence[ArraySource], scheduler: Scheduler
    ) -> None:
        self._name = name
        self._total = total
        self._scheduler = scheduler
        self._changed = threading.Condition()  # protects all that follows
        self._values = dict(known)
        self._errors: dict[int, BaseException] = {}
        self._running = list(sources)
        self._sources = tuple(sources)
        self._next = 0
        if sources and not self._look(None):
            watch(self)

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> "ArrayResults":
        return self

    def __next__(self) -> Any:
        """Return the result of the next call, as soon as that has run.

        Raises
        ------
        ArrayFailed
            The call has failed, or has no result: raised after the end of all calls, whose results it holds.
        """
        number = self._next
        if number >= self._total:
            raise StopIteration
        with self._changed:
            self._changed.wait_for(lambda: number in self._values or not self._running)
            if number in self._values:
                self._next += 1
                return self._values[number]
            self._next = self._total
            raise self._failure()

    @property
    def ids(self) -> tuple[str, ...]:
        """Numbers of the job arrays."""
        return tuple(job for source in self._sources for job in source.folder.ids)

    @property
    def done(self) -> int:
        """Number of calls that have returned or failed."""
        with self._changed:
            return len(self._values) + len(self._errors)

    def cancel(self) -> None:
        """Cancel all calls that have not returned.

        Raises
        ------
        CommandError
            Slurm does not answer.
        """
        for source in self._sources:
            source.cancel()

    def _refresh(self) -> None:
        for source in list(self._running):
            source.folder.refresh("outcomes")

    def _look(self, listing: Listing | None) -> bool:
        """Look for outcomes; see `hpcml.cluster.jobs.watcher.Watched`."""
        for source in list(self._running):
            try:
                self._take(source)
                if self._is_complete(source):
                    self._end(source, {})
                elif listing is not None and source.is_over(listing):
                    self._take(source)
                    errors = {place: source.missing(place, listing) for place in self._unresolved(source)}
                    self._end(source, {source.places[place]: error for place, error in errors.items()})
            except HpcmlError as error:
                places = self._unresolved(source)
                self._end(source, dict.fromkeys((source.places[place] for place in places), error))
        return not self._running

    def _take(self, source: ArraySource) -> None:
        for number, outcome in source.new_outcomes():
            self._note(number, outcome)

    def _note(self, number: int, outcome: Outcome) -> None:
        with self._changed:
            if outcome.error is None:
                self._values[number] = outcome.value
            else:
                self._errors[number] = outcome.error
            self._changed.notify_all()

    def _unresolved(self, source: ArraySource) -> list[int]:
        with self._changed:
            return [
                place
                for place, number in source.places.items()
                if number not in self._values and number not in self._errors
            ]

    def _is_complete(self, source: ArraySource) -> bool:
        return not self._unresolved(source)

    def _end(self, source: ArraySource, errors: Mapping[int, BaseException]) -> None:
        with self._changed:
            self._errors.update(errors)
            self._running.remove(source)
            self._changed.notify_all()

    def _failure(self) -> ArrayFailed:
        texts: dict[str, list[int]] = {}
        for number, error in sorted(self._errors.items()):
            text = str(error) if isinstance(error, HpcmlError) else repr(error)
            texts.setdefault(text, []).append(number)
        lines = [f"\n    {_calls(numbers)}: {text}" for text, numbers in list(texts.items())[:SHOWN_ERRORS]]
        more = f"\n    and {len(texts) - SHOWN_ERRORS} other errors" if len(texts) > SHOWN_ERRORS else ""
        return ArrayFailed(
            f"{len(self._errors)} of {self._total} calls of {self._name} have no result:{''.join(lines)}{more}\n"
            "hpcml.map_array(…, resume=True) runs these again and no others; the error's `results` has the others",
            dict(self._values),
            dict(self._errors),
        )


def _calls(numbers: Sequence[int]) -> str:
    return f"call{'s' * (len(numbers) > 1)} {to_ranges(numbers)}"
