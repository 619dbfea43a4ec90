"""Liveness of controller and launchers: questions, because a step does not end when its node is lost or frozen."""

from hpcml.engines.ipyparallel.fleet import Fleet

__all__ = ["Liveness"]

UNANSWERED_QUESTIONS = 8  # one a second, until the controller counts as lost


class Liveness:
    """Asks the controller and the launchers whether they are alive.

    Questions are counted, not seconds: this process may have been suspended, or busy, while the answers were
    waiting. A controller is lost when a launcher answers and the controller does not. When all are silent, the
    network has failed or the job is suspended, and to wait is all that can be done.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._unanswered = 0
        self._launcher_answered = False
        self._is_serving = False

    def begin(self) -> None:
        """Ask from now on: the controller serves. Before, it reads one message only: the address to bind."""
        self._unanswered = 0
        self._is_serving = True

    def end(self) -> None:
        """Ask no more, until there is another controller."""
        self._is_serving = False

    def note_answer(self, node: str) -> None:
        """Note an answer: of the launcher on `node`, or of the controller ("")."""
        if node:
            self._launcher_answered = True
        else:
            self._unanswered = 0

    def is_lost(self) -> bool:
        """Return whether the controller is lost, and ask again; called once a second, when no news is waiting."""
        if not self._is_serving:
            return False
        lost = self._unanswered >= UNANSWERED_QUESTIONS and self._launcher_answered
        self._unanswered += 1
        self._launcher_answered = False
        self._fleet.controller.send({"alive": True})
        if self._unanswered >= UNANSWERED_QUESTIONS:
            self._fleet.send({"alive": True})
        return lost
