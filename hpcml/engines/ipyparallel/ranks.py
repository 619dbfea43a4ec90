"""Engines as ranks of MPI, for the threads of the driver: frames for all, and the order to replace them."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from hpcml.engines.ipyparallel.engine_state import EngineState
from hpcml.engines.ipyparallel.engine_table import EngineTable
from hpcml.engines.worker import Worker
from hpcml.errors import WorkerDied

__all__ = ["Ranks"]


class Ranks:
    """The ranks of a run.

    ``failure`` is why there will be none any more, "" while there is hope. ``turn`` is held by the thread whose
    frame the ranks run: frames that reach two ranks in another order would wait for each other. It protects
    ``comm_number``, the number of the communicator, which is another one after each call that fails.

    Parameters
    ----------
    send
        Sends a frame to an engine, whose outcomes resolve a future; returns False where the engine is gone.
    restart
        Has all ranks replaced; with the reason, and an engine that is one of them.
    """

    def __init__(
        self,
        table: EngineTable,
        send: Callable[[EngineState, bytes, "Future[bytes]"], bool],
        restart: Callable[[str, int], None],
    ) -> None:
        self.failure = ""
        self.turn = threading.Lock()
        self.comm_number = 0
        self._table = table
        self._send = send
        self._restart = restart

    def submit(self, frame: bytes) -> "tuple[int, list[tuple[Worker, Future[bytes]]]] | None":
        """Send a frame to every engine; return each with the future of its outcomes, in the order of ranks.

        The number before them is for `restart`. None is returned while ranks are missing.
        """
        pairs = self._table.give_to_all()
        if pairs is None:
            return None
        number = pairs[0][0].number
        try:
            self._send_to(pairs, frame)
        except BaseException:  # Ctrl-C: some ranks have the frame, and would wait for the others
            self.restart("a call of comm_map was interrupted", number)
            raise
        return number, [(engine.worker, future) for engine, future in pairs]

    def _send_to(self, pairs: "Sequence[tuple[EngineState, Future[bytes]]]", frame: bytes) -> None:
        for engine, future in pairs:
            if not self._send(engine, frame, future):
                self._table.refuse(engine, future)
                future.set_exception(WorkerDied(f"{engine.worker} is gone", str(engine.worker), started=False))

    def restart(self, reason: str, number: int) -> None:
        """Have the ranks replaced that `submit` has named so, where they are still there; returns at once."""
        self._table.withdraw(number)  # now, for the caller may send the next frame before others are there
        self._restart(reason, number)
