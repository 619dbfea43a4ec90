"""The pool: the step of the workers and the broker, started and ended by the script's process."""

import contextlib
import logging
import os
import queue
import resource
import threading
import time
from pathlib import Path
from typing import Any

from hpcml.engines.nodes.addresses import common_addresses, offered_addresses, unreachable
from hpcml.engines.nodes.curve import create_keys, secured
from hpcml.engines.plan import Plan
from hpcml.engines.scoop.broker import BrokerThread
from hpcml.engines.scoop.message_types import NodeShare, PoolSettings
from hpcml.engines.scoop.news import PoolNews
from hpcml.engines.scoop.origin import PoolFailure, patch_origin
from hpcml.engines.scoop.patches import patch
from hpcml.engines.scoop.steps import Steps
from hpcml.engines.scoop.worker import configure
from hpcml.errors import EngineError
from hpcml.slurm.process import Inbox

__all__ = ["Pool"]

log = logging.getLogger("hpcml")

FILES_OF_WORKER = 3  # connections: two of the broker's, one of the origin's
OTHER_FILES = 256


def _allow_files(wanted: int) -> None:
    """Raise the limit on open files, if that is needed and as far as it can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


class Pool:
    """SCOOP's workers and broker, as a context manager: on exit no process, step, socket or key is left.

    ``failure`` raises the error in the main thread when a worker has ended.
    """

    def __init__(self, plan: Plan, library: Any, script: Path, args: list[str]) -> None:
        self.plan = plan
        self.library = library
        self.failure = PoolFailure()
        self._script = str(script.absolute())
        self._args = args
        self._deadline = time.monotonic() + plan.timeout
        self._key_file = plan.run_dir / "curve.key"
        self._steps: Steps | None = None
        self._news: PoolNews | None = None
        self._broker: BrokerThread | None = None
        self._listener: threading.Thread | None = None

    def __enter__(self) -> "Pool":
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    # -- start ---------------------------------------------------------------------------------------------------
    def _start(self) -> None:
        _allow_files(FILES_OF_WORKER * self.plan.slots + OTHER_FILES)
        keys = create_keys(self._key_file)
        inbox: Inbox = queue.SimpleQueue()
        steps = self._steps = Steps(self.plan, inbox, self._key_file)
        news = self._news = PoolNews(self.plan, steps, inbox, self.failure)
        address = self._find_address(steps, news)
        self._zmq = secured(keys, lambda: address)
        patch(self.library, self._zmq, "the script's process")
        patch_origin(self.library, self.failure)
        self._broker = BrokerThread(self.library, address, self.failure.fail)
        settings = self._settings(self._broker)
        steps.send({"nodes": self._shares(), "pool": settings})
        while len(self._broker.connected) < self.plan.slots:
            self._take_next(steps, news, "have connected", 0.05)
        configure(self.library, settings, origin=True)
        news.show_prints()
        listener = threading.Thread(target=news.listen, name="hpcml-scoop", daemon=True)
        listener.start()
        self._listener = listener

    def _settings(self, broker: BrokerThread) -> PoolSettings:
        return {
            "address": broker.address,
            "ports": broker.ports,
            "size": self.plan.slots + 1,
            "script": self._script,
            "args": self._args,
            "directory": str(Path.cwd()),
        }

    def _shares(self) -> dict[str, NodeShare]:
        return {
            node.name: {"slots": node.slots, "cpus_per_slot": node.cpus_per_slot, "cpus": node.cpus}
            for node in self.plan.nodes
        }

    def _find_address(self, steps: Steps, news: PoolNews) -> str:
        """Return an address of this host that all nodes reach.

        Raises
        ------
        EngineError
            There is none, or not all nodes have tried in time.
        """
        if self.plan.allocation is None:
            steps.send({"probe": {"addresses": [], "token": ""}})
            return "127.0.0.1"
        with offered_addresses() as offer:
            steps.send({"probe": offer})
            while len(news.reached) < len(self.plan.nodes):
                self._take_next(steps, news, "have answered", 0.5)
        reached = {node.name: news.reached[node.name] for node in self.plan.nodes}
        common = common_addresses(reached)
        if not common:
            headline = (
                f"no address of this host, {os.uname().nodename}, can be reached from all nodes, and the script "
                "serves its tasks here"
            )
            raise EngineError(unreachable(headline, reached, "SCOOP's sockets do not speak IPv6 here."))
        return common[0]

    def _take_next(self, steps: Steps, news: PoolNews, awaited: str, seconds: float) -> None:
        """Take a message, if there is one; raise EngineError or WorkerDied when the start has failed."""
        news.take_next(seconds)
        self.failure.check()
        if time.monotonic() > self._deadline:
            raise EngineError(
                f"not all workers {awaited} within {self.plan.timeout:g} s.{self._describe_missing(news)}"
                f"{steps.logs()}\nTo give slow nodes more time: --timeout={4 * self.plan.timeout:g}"
            )

    def _describe_missing(self, news: PoolNews) -> str:
        """Return a line for each node that has not sent a message, not tried to connect, or lacks workers."""
        connected = set() if self._broker is None else self._broker.connected
        lines = []
        for node in self.plan.nodes:
            missing = [str(slot) for slot in range(node.slots) if (node.name, slot) not in connected]
            if node.name not in news.connected_nodes:
                lines.append(f"{node.name} sent no message")
            elif self._broker is None and node.name not in news.reached:
                lines.append(f"{node.name} has not tried to reach this host")
            elif self._broker is not None and missing:
                errors = news.last_errors(node.name)
                lines.append(f"{node.name} lacks the workers of slots {', '.join(missing)}{errors}")
        return "".join(f"\n{line}" for line in lines)

    # -- end -----------------------------------------------------------------------------------------------------
    def _stop(self) -> None:
        started = self._listener is not None
        self.failure.end()
        if self._news is not None:
            self._news.stop()
        if self._steps is not None:
            self._steps.close()
        self._end_broker(1.0 if started else 0.0)
        if self._steps is not None:
            self._steps.stop(5 if started else 2)
        if self._listener is not None:
            self._listener.join(10)
        self._key_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the directory stays when there are logs in it
            self.plan.run_dir.rmdir()
            self.plan.run_dir.parent.rmdir()

    def _end_broker(self, seconds: float) -> None:
        """Order the broker to end, unless it does so within `seconds`: the origin may have ordered that."""
        if self._broker is None or self._broker.join(seconds):
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
