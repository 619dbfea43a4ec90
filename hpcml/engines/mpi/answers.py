"""Answers of the nodes: lost is one whose relay and launcher are both silent, while another node answers."""

from collections.abc import Iterable

__all__ = ["Answers"]

RELAY_QUESTIONS = 5  # one a second, that a relay leaves unanswered before its node can count as lost
LAUNCHER_QUESTIONS = 2  # that its launcher leaves unanswered besides; these are asked when a relay is silent
DOUBTFUL = RELAY_QUESTIONS - LAUNCHER_QUESTIONS - 1
STUCK_QUESTIONS = 60  # unanswered by a relay whose launcher answers: a long packet may be on its way meanwhile


class Answers:
    """Unanswered questions in a row, of each node that has ever answered.

    Questions are counted, not seconds: this process may have been suspended while the answers were waiting. Where
    all nodes are silent, the job is suspended or the network has failed, and to wait is all that can be done.
    """

    def __init__(self) -> None:
        self._relays: dict[str, int] = {}
        self._launchers: dict[str, int] = {}

    def note_relay(self, node: str) -> None:
        """Note that the relay of a node has answered."""
        self._note(node)
        self._relays[node] = 0

    def note_launcher(self, node: str) -> None:
        """Note that the launcher of a node has answered."""
        self._note(node)
        self._launchers[node] = 0

    def _note(self, node: str) -> None:
        if node in self._relays and self._silent() == self._relays.keys():  # all come back from a suspension
            self._relays = dict.fromkeys(self._relays, 0)
            self._launchers = dict.fromkeys(self._relays, 0)

    def forget(self, nodes: Iterable[str]) -> None:
        """Forget nodes, whose step has ended."""
        for node in nodes:
            self._relays.pop(node, None)
            self._launchers.pop(node, None)

    def has_all(self, nodes: Iterable[str]) -> bool:
        """Return whether the relays of `nodes` have answered since they were forgotten."""
        return all(node in self._relays for node in nodes)

    def ask(self) -> bool:
        """Count a question to each relay; return whether the launchers are to be asked too."""
        is_doubtful = any(number >= DOUBTFUL for number in self._relays.values())
        self._relays = {node: number + 1 for node, number in self._relays.items()}
        self._launchers = {node: self._launchers.get(node, 0) + is_doubtful for node in self._relays}
        return is_doubtful

    def _silent(self) -> set[str]:
        return {
            node
            for node, number in self._relays.items()
            if number >= RELAY_QUESTIONS and self._launchers.get(node, 0) >= LAUNCHER_QUESTIONS
        }

    def lost(self) -> set[str]:
        """Return the nodes that are silent, none where all are."""
        silent = self._silent()
        return silent if silent != self._relays.keys() else set()

    def stuck(self) -> set[str]:
        """Return the nodes whose launcher answers and whose relay has not for a long time."""
        late = {node for node, number in self._relays.items() if number >= STUCK_QUESTIONS}
        return late - self._silent()
