"""Items to be scored, and the source that has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Item", "Source"]


@dataclass(frozen=True, slots=True)
class Item:
    """Item to be scored.

    Parameters
    ----------
    id
        Names the item and its result; an item that arrives twice has one result.
    content
        JSON, or an array in the format npy.
    arrived
        Time of arrival on the clock of this computer, in seconds since the epoch.
    place
        Of the item in its source.
    problem
        Error that the source has found, such as a file that cannot be read; then it is the result.
    """

    id: str
    content: bytes
    arrived: float
    place: Any = None
    problem: str = ""


class Source(Protocol):
    """Place from which items come, and to which results go. `read` is called in one thread, `write` in another."""

    def read(self, limit: int, seconds: float) -> list[Item]:
        """Return at most `limit` new items; wait for the first one for so many seconds, more or less.

        Raises
        ------
        HpcmlError
            The source is gone.
        """

    def write(self, results: Sequence[tuple[Item, bytes]]) -> None:
        """Write the results of items, and then take the items from the source.

        Raises
        ------
        HpcmlError
            The source is gone, or there is no room. The items stay in it.
        """

    def stop(self) -> None:
        """Give up waits for a source that is gone: the server is about to end."""

    def close(self) -> None:
        """End all connections."""
