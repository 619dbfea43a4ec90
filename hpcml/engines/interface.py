"""Interface of the engines: their workers, as the dispatcher uses them."""

from collections.abc import Callable, Set
from concurrent.futures import Future
from typing import Protocol

from hpcml.data.staging.store import Staging

__all__ = ["Workers"]


class Workers(Protocol):
    """Workers of an engine, which its context manager yields when they are ready."""

    @property
    def slots(self) -> int:
        """Number of workers, including those that are being replaced."""

    @property
    def ready(self) -> int:
        """Number of workers that can take a frame now."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Nodes of the workers, each once."""

    staging: Staging
    """Staging of data on their nodes."""

    on_change: Callable[[], None]
    """Called by the engine when workers were added or lost."""

    on_broken: Callable[[BaseException], None]
    """Called by the engine when no worker can return anything more."""

    on_print: Callable[[str, int, bytes, bool], None]
    """Called by the engine with prints of its workers; see `hpcml.data.envelope.TaskObserver.printed`."""

    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the worker with the fewest frames, and return the future of its outcomes.

        `avoid` are workers that died under its calls: of several workers with as few frames, one elsewhere is
        taken. The future fails with `WorkerDied`.
        """

    def frames_running(self) -> dict[str, "Future[bytes]"]:
        """Return the frame that each busy worker runs now, by the name of the worker."""

    def interrupt(self, future: "Future[bytes]") -> None:
        """End the work on a submitted frame now, by ending its worker, which is replaced."""
