"""The pool: the step of the workers and the broker, started and watched from the launching process."""

import contextlib
import logging
import os
import queue
import resource
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from hpcml.engines.nodes.addresses import common_addresses, offered_addresses, unreachable
from hpcml.engines.plan import Plan
from hpcml.engines.scoop.broker import BrokerThread
from hpcml.engines.scoop.curve import create_keys, secured
from hpcml.engines.scoop.origin import PoolFailure, patch_origin
from hpcml.engines.scoop.patches import patch
from hpcml.engines.scoop.steps import Steps
from hpcml.engines.scoop.worker import configure
from hpcml.errors import EngineError, WorkerDied
from hpcml.slurm.process import Inbox, Program, tail

__all__ = ["Pool"]

log = logging.getLogger("hpcml")

SILENCE = 60  # questions, one a second, that a node may leave without an answer while another answers
FILES = 3  # connections to a worker: two of the broker's, one of the origin's
HELD = 200  # pieces of what workers print while they start that are kept of each node


def _allow_files(wanted: int) -> None:
    """Raise the limit on open files, if that is needed and as far as it can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


class Pool:
    """SCOOP's workers and broker, as a context manager: on exit no process, step, socket or key is left.

    ``fate`` tells the main thread when a worker has ended.
    """

    def __init__(self, plan: Plan, library: Any, script: Path, args: list[str]) -> None:
        self.plan = plan
        self.library = library
        self.fate = PoolFailure()
        self._script = str(script.absolute())
        self._args = args
        self._deadline = time.monotonic() + plan.timeout
        self._inbox: Inbox = queue.SimpleQueue()
        self._steps: Steps | None = None
        self._spoken: set[str] = set()
        self._reached: dict[str, dict[str, str]] = {}
        self._silent = {node.name: 0 for node in plan.nodes}  # questions without an answer
        self._printed: dict[str, deque[tuple[int, str]]] = {node.name: deque(maxlen=HELD) for node in plan.nodes}
        self._ready = self._stopping = False
        self._broker: BrokerThread | None = None
        self._listener: threading.Thread | None = None
        self._key_file = plan.run_dir / "curve.key"

    def __enter__(self) -> "Pool":
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    # -- start -------------------------------------------------------------------------------------------------
    def _start(self) -> None:
        _allow_files(FILES * self.plan.slots + 256)
        keys = create_keys(self._key_file)
        self._steps = Steps(self.plan, self._inbox, self._key_file)
        address = self._find_address(self._steps)
        self._zmq = secured(keys, lambda: address)
        patch(self.library, self._zmq, "the script's process")
        patch_origin(self.library, self.fate)
        self._broker = BrokerThread(self.library, address, self.fate.fail)
        pool = {
            "address": address,
            "ports": self._broker.ports,
            "size": self.plan.slots + 1,
            "script": self._script,
            "args": self._args,
            "directory": str(Path.cwd()),
        }
        shares = {
            node.name: {"slots": node.slots, "cpus_per_slot": node.cpus_per_slot, "cpus": node.cpus}
            for node in self.plan.nodes
        }
        self._steps.tell({"nodes": shares, "pool": pool})
        while len(self._broker.here) < self.plan.slots:
            self._take_next(self._steps, "have connected", 0.05)
        configure(self.library, pool, origin=True)
        self._ready = True
        for node in list(self._printed):
            self._show(node)
        listening = threading.Thread(target=self._listen, args=(self._steps,), name="hpcml-scoop", daemon=True)
        listening.start()
        self._listener = listening

    def _find_address(self, steps: Steps) -> str:
        if self.plan.allocation is None:
            steps.tell({"probe": {"addresses": [], "token": ""}})
            return "127.0.0.1"
        with offered_addresses() as offer:
            steps.tell({"probe": offer})
            while len(self._reached) < len(self.plan.nodes):
                self._take_next(steps, "have answered", 0.5)
        reached = {node.name: self._reached[node.name] for node in self.plan.nodes}
        common = common_addresses(reached)
        if not common:
            headline = (
                f"no address of this host, {os.uname().nodename}, can be reached from all nodes, and the script "
                "serves its tasks here"
            )
            raise EngineError(unreachable(headline, reached, "SCOOP's sockets do not speak IPv6 here."))
        return common[0]

    def _take_next(self, steps: Steps, awaited: str, seconds: float) -> None:
        """Take a message, if there is one; raise when the start has failed."""
        with contextlib.suppress(queue.Empty):
            self._take(steps, *self._inbox.get(timeout=seconds))
        if self.fate.error is not None:
            raise self.fate.error
        if time.monotonic() > self._deadline:
            raise EngineError(
                f"not all workers {awaited} within {self.plan.timeout:g} s.{self._missing()}{steps.logs()}\n"
                f"To give slow nodes more time: --timeout={4 * self.plan.timeout:g}"
            )

    def _missing(self) -> str:
        here = set() if self._broker is None else self._broker.here
        lines = []
        for node in self.plan.nodes:
            missing = [str(slot) for slot in range(node.slots) if (node.name, slot) not in here]
            if node.name not in self._spoken:
                lines.append(f"nothing was heard from {node.name}")
            elif self._broker is None and node.name not in self._reached:
                lines.append(f"{node.name} has not tried to reach this host")
            elif self._broker is not None and missing:
                lines.append(f"{node.name} lacks the workers of slots {', '.join(missing)}{self._said(node.name)}")
        return "".join(f"\n{line}" for line in lines)

    def _said(self, node: str) -> str:
        text = "".join(text for stream, text in self._printed.get(node, ()) if stream == 2)
        return f"; what was printed there ends with\n{tail(text)}" if text.strip() else ""

    # -- news --------------------------------------------------------------------------------------------------
    def _take(self, steps: Steps, program: Program | None, message: dict[str, Any] | None) -> None:
        if message is None:
            if program is not None:
                steps.ended.add(program)
                self.fate.fail(
                    EngineError(
                        f"the step of the workers ended with status {program.status}: its program has failed, a "
                        f"node is lost, or somebody has ended it{steps.logs()}"
                    )
                )
        elif "here" in message:
            self._spoken.add(message["here"])
        elif "reached" in message:
            self._reached[message["node"]] = message["reached"]
        elif "text" in message:
            self._printed[message["node"]].append((message["stream"], message["text"]))
            if self._ready:
                self._show(message["node"])
        elif "died" in message:
            death = self._death(message["node"], message["slot"], message["died"], steps.logs())
            self.fate.fail(death)
        elif "alive" in message:
            self._silent[message["alive"]] = 0

    def _death(self, node: str, slot: int, cause: str, logs: str) -> WorkerDied:
        worker = f"{node}:{slot}"
        if not self._ready:
            return WorkerDied(
                f"the worker in slot {slot} of {node} ended while it started ({cause}){self._said(node)}{logs}",
                worker,
            )
        return WorkerDied(
            f"the worker in slot {slot} of {node} ended ({cause}), and its tasks are lost; SCOOP does not repeat "
            f"them. Start the script anew; hpcml.Cluster().map repeats the tasks of a dead worker{logs}",
            worker,
        )

    def _show(self, node: str) -> None:
        """Print what the workers of a node have printed, where they would have."""
        held = self._printed[node]
        while held:
            stream, text = held.popleft()
            file = sys.__stdout__ if stream == 1 else sys.__stderr__
            with contextlib.suppress(OSError, ValueError):  # nobody listens any more
                if file is not None:
                    file.write(text)
                    file.flush()

    def _listen(self, steps: Steps) -> None:
        """Take the news until all steps have ended, and ask the nodes for signs of life."""
        asked = time.monotonic()
        while not steps.over:
            try:
                self._take(steps, *self._inbox.get(timeout=1.0))
            except queue.Empty:
                pass
            except Exception as error:  # or nobody would watch the workers any more
                self.fate.fail(EngineError(f"the news of the workers cannot be understood: {error!r}"))
            if time.monotonic() > asked + 1 and not self._stopping:
                asked = time.monotonic()
                self._ask(steps)

    def _ask(self, steps: Steps) -> None:
        """Ask all nodes for a sign of life; a node that is silent while others speak is lost.

        Questions are counted, not seconds: this process may have been suspended.
        """
        lost = [node for node, questions in self._silent.items() if questions >= SILENCE]
        if lost and min(self._silent.values()) <= 1:
            said = f"{', '.join(lost)} gave no sign of life for {SILENCE} s, and the tasks there are lost. "
            self.fate.fail(WorkerDied(f"{said}`sinfo --nodes={','.join(lost)}` tells what Slurm sees", lost[0]))
        for node in self._silent:
            self._silent[node] += 1
        steps.tell({"alive": True})

    # -- end ---------------------------------------------------------------------------------------------------
    def _stop(self) -> None:
        self._stopping = True
        self.fate.end()
        if self._steps is not None:
            self._steps.close()
        self._end_broker()
        if self._steps is not None:
            self._steps.stop(5 if self._ready else 2)
        if self._listener is not None:
            self._listener.join(10)
        self._key_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it stays when there are logs in it
            self.plan.run_dir.rmdir()
            self.plan.run_dir.parent.rmdir()

    def _end_broker(self) -> None:
        """Tell the broker to end, unless the origin has done so."""
        if self._broker is None or self._broker.join(1.0 if self._ready else 0.0):
            return
        context = self._zmq.Context()
        socket = context.socket(self._zmq.DEALER)
        socket.linger = 1000
        socket.connect(f"tcp://{self._broker.address}:{self._broker.ports[0]}")
        with contextlib.suppress(self._zmq.ZMQError):
            socket.send(b"S")
        if not self._broker.join(3.0):
            log.debug("SCOOP's broker has not ended")
        context.destroy(linger=0)
