"""News of the pool: messages of the nodes, and the ends of their programs, each noted, shown or made an error."""

import contextlib
import queue
import sys
import time
from collections import deque
from typing import Any, cast

from hpcml.engines.plan import Plan
from hpcml.engines.scoop.message_types import News
from hpcml.engines.scoop.origin import PoolFailure
from hpcml.engines.scoop.steps import Steps
from hpcml.errors import EngineError, WorkerDied
from hpcml.slurm.process import Inbox, Program, tail

__all__ = ["PoolNews"]

SILENT_QUESTIONS = 60  # one a second, that a node may leave without an answer while another answers
HELD_PRINTS = 200  # messages of each node with prints of its workers that are kept while the pool starts


class PoolNews:
    """The messages of the nodes, taken by one thread at a time: first the one that starts, then the listener.

    Parameters
    ----------
    failure
        Takes the error when a worker, a node or the step has ended.

    Attributes
    ----------
    connected_nodes
        The nodes that have sent a message.
    reached
        For each node the error at each address of this host; see `hpcml.engines.nodes.addresses.reach`.
    """

    def __init__(self, plan: Plan, steps: Steps, inbox: Inbox, failure: PoolFailure) -> None:
        self.connected_nodes: set[str] = set()
        self.reached: dict[str, dict[str, str]] = {}
        self._steps = steps
        self._inbox = inbox
        self._failure = failure
        self._unanswered = {node.name: 0 for node in plan.nodes}  # questions without an answer
        self._prints: dict[str, deque[tuple[int, str]]] = {
            node.name: deque(maxlen=HELD_PRINTS) for node in plan.nodes
        }
        self._ready = False
        self._stopping = False

    def take_next(self, seconds: float) -> None:
        """Wait for a message for so many seconds, and handle it."""
        with contextlib.suppress(queue.Empty):
            self._handle(*self._inbox.get(timeout=seconds))

    def show_prints(self) -> None:
        """Show the prints of all workers, those until now and all that come: the pool is ready."""
        self._ready = True
        for node in self._prints:
            self._show(node)

    def last_errors(self, node: str) -> str:
        """Return the end of the standard error of a node's workers, for a message."""
        text = "".join(text for stream, text in self._prints.get(node, ()) if stream == 2)
        return f"; what was printed there ends with\n{tail(text)}" if text.strip() else ""

    def listen(self) -> None:
        """Handle messages until all steps have ended, and ask the nodes whether they are alive until `stop`."""
        asked = time.monotonic()
        while not self._steps.over:
            try:
                self.take_next(1.0)
            except Exception as error:  # without this thread no death of a worker would be seen
                self._failure.fail(EngineError(f"the news of the workers cannot be understood: {error!r}"))
            if time.monotonic() > asked + 1 and not self._stopping:
                asked = time.monotonic()
                self._ask()

    def stop(self) -> None:
        """End the questions whether nodes are alive."""
        self._stopping = True

    def _handle(self, program: Program | None, message: dict[str, Any] | None) -> None:
        if message is not None:
            self._handle_message(cast(News, message))
        elif program is not None:
            self._steps.ended.add(program)
            self._failure.fail(
                EngineError(
                    f"the step of the workers ended with status {program.status}: its program has failed, a "
                    f"node is lost, or somebody has ended it{self._steps.logs()}"
                )
            )

    def _handle_message(self, message: News) -> None:
        if "here" in message:
            self.connected_nodes.add(message["here"])
        elif "reached" in message:
            self.reached[message["node"]] = message["reached"]
        elif "text" in message:
            self._prints[message["node"]].append((message["stream"], message["text"]))
            if self._ready:
                self._show(message["node"])
        elif "died" in message:
            self._failure.fail(self._death(message["node"], message["slot"], message["died"]))
        elif "alive" in message:
            self._unanswered[message["alive"]] = 0

    def _death(self, node: str, slot: int, cause: str) -> WorkerDied:
        """Return the error for the death of a worker."""
        place = f"the worker in slot {slot} of {node} ended"
        logs = self._steps.logs()
        if self._ready:
            text = (
                f"{place} ({cause}), and its tasks are lost; SCOOP does not repeat them. Start the script anew; "
                f"hpcml.Cluster().map repeats the tasks of a dead worker{logs}"
            )
        else:
            text = f"{place} while it started ({cause}){self.last_errors(node)}{logs}"
        return WorkerDied(text, f"{node}:{slot}")

    def _show(self, node: str) -> None:
        """Write the prints of a node's workers to the script's own streams."""
        prints = self._prints[node]
        while prints:
            stream, text = prints.popleft()
            file = sys.__stdout__ if stream == 1 else sys.__stderr__
            with contextlib.suppress(OSError, ValueError):  # the reader of the script's output has ended
                if file is not None:
                    file.write(text)
                    file.flush()

    def _ask(self) -> None:
        """Ask all nodes whether they are alive; a node that is silent while others answer is lost.

        Questions are counted, not seconds: this process may have been suspended.
        """
        lost = [node for node, questions in self._unanswered.items() if questions >= SILENT_QUESTIONS]
        if lost and min(self._unanswered.values()) <= 1:
            text = (
                f"{', '.join(lost)} did not answer for {SILENT_QUESTIONS} s, and the tasks there are lost. "
                f"`sinfo --nodes={','.join(lost)}` shows what Slurm sees"
            )
            self._failure.fail(WorkerDied(text, lost[0]))
        for node in self._unanswered:
            self._unanswered[node] += 1
        self._steps.send({"alive": True})
