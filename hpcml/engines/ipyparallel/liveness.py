"""Liveness of controller and launchers: a step does not end when its node is lost or frozen."""

from hpcml.engines.ipyparallel.fleet import Fleet

__all__ = ["Liveness"]

SILENCE = 8  # questions, one a second, without an answer


class Liveness:
    """Asks the controller and the launchers for a sign of life.

    It counts questions, not seconds: this process may have been suspended, or busy, and the answers be waiting. A
    controller is lost when a launcher answers and it does not; when all are silent, so is the network, or the job
    is suspended, and then nothing helps but to wait.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._unanswered = 0
        self._launcher_answered = self._serving = False

    def begin(self) -> None:
        """Ask from now on: the controller serves. Before, it waits for one message only, and that is another."""
        self._unanswered = 0
        self._serving = True

    def end(self) -> None:
        """Ask no more, until there is another controller."""
        self._serving = False

    def heard(self, node: str) -> None:
        """Take a sign of life: of the launcher on `node`, or of the controller ("")."""
        if node:
            self._launcher_answered = True
        else:
            self._unanswered = 0

    def is_lost(self) -> bool:
        """Tell whether the controller is lost, and ask again; called once a second, when no news is waiting."""
        if not self._serving:
            return False
        lost = self._unanswered >= SILENCE and self._launcher_answered
        self._unanswered += 1
        self._launcher_answered = False
        self._fleet.controller.send({"alive": True})
        if self._unanswered >= SILENCE:
            self._fleet.send({"alive": True})
        return lost
