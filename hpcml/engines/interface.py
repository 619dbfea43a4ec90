"""Interface between the dispatcher and the engines."""

from collections.abc import Callable, Set
from concurrent.futures import Future
from typing import Protocol

from hpcml.data.staging.store import Staging

__all__ = ["Workers"]


class Workers(Protocol):
    """Workers that an engine's context manager yields, ready."""

    @property
    def slots(self) -> int:
        """Number of workers, those included that are just being replaced."""

    @property
    def ready(self) -> int:
        """Number of workers that can take a frame now."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes they are on, each once."""

    staging: Staging
    """Staging of data on their nodes."""

    on_change: Callable[[], None]
    """Called by the engine when workers have come or gone."""

    on_broken: Callable[[BaseException], None]
    """Called by the engine when no worker will ever answer again."""

    on_print: Callable[[str, int, bytes, bool], None]
    """Called by the engine with prints of its workers; see `hpcml.data.envelope.TaskObserver.printed`."""

    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the worker with the least to do, of equal ones not where those in `avoid` have died.

        Its future fails with `WorkerDied`.
        """

    def interrupt(self, future: "Future[bytes]") -> None:
        """End the work on a submitted frame now, at the price of its worker; a replacement follows."""
