"""Start of the controller and the launchers, and the errors when they do not come."""

import logging
import queue
import time
from typing import TYPE_CHECKING

from hpcml.engines import import_library
from hpcml.engines.ipyparallel.failures import ControllerState, describe_failures
from hpcml.engines.ipyparallel.news import NewsHandler
from hpcml.engines.ipyparallel.watch import Watch
from hpcml.engines.nodes.failures import LATE_SECONDS
from hpcml.engines.nodes.granted import warn_of_gpus
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError
from hpcml.slurm.node_wait import late_nodes
from hpcml.slurm.process import Inbox

if TYPE_CHECKING:
    from hpcml.engines.ipyparallel.workers import EngineWorkers

__all__ = ["Startup"]

log = logging.getLogger("hpcml")

STOP_SECONDS = 5.0  # for each step of the programs' end
FAILED_START_STOP_SECONDS = 1.0  # the same after a start that failed: it has hung long enough


class Startup:
    """Starts the programs of one run, and stops them.

    The messages of all programs go through one queue, which the thread that starts reads until all workers are
    there, and the news thread (`Watch`) after that.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._deadline = time.monotonic() + plan.timeout
        self._inbox: Inbox = queue.SimpleQueue()
        self._news = NewsHandler(plan, self._inbox, self._deadline)
        self._fleet = self._news.fleet
        self._watch = Watch(self._news, self._inbox)
        self._has_started = False

    def run(self) -> "EngineWorkers":
        """Start the programs and return when all engines are there, or as many as `Plan.min_slots` asks for.

        Raises
        ------
        EngineError
            Too few workers have come in time; the message has the reason for each node.
        """
        self._fleet.start()
        if self._news.world is not None:
            self._news.world.prepare()
        import_library("ipyparallel")  # while the nodes start
        late_start = time.monotonic() + self._plan.timeout / 3
        while not self._is_complete() and time.monotonic() < self._deadline and not self._is_hopeless():
            self._handle_next(min(self._deadline, time.monotonic() + 0.5))
            is_late = time.monotonic() > late_start
            self._news.ask_hub()
            self._news.begin_world()
            if is_late and self._plan.min_slots is not None:
                silent = {node.name for node in self._plan.nodes} - self._news.connected_nodes
                restarted = self._fleet.restart_without(silent)
                if restarted and self._news.world is not None:
                    self._news.world.remove_nodes(restarted, "some nodes are silent")
            self._news.address.choose(force=is_late)
        self._check_started()
        workers = self._news.workers
        assert workers is not None
        workers.staging = self._news.data.staging(self._fleet.environment)
        warn_of_gpus(self._plan, self._news.gpus)
        workers.probe(max(self._deadline - time.monotonic(), 5))
        self._watch.start()
        self._has_started = True
        return workers

    def _ready(self) -> int:
        return self._news.workers.ready if self._news.workers is not None else 0

    def _is_complete(self) -> bool:
        return self._news.workers is not None and self._ready() + self._news.recovery.given_up >= self._plan.slots

    def _is_hopeless(self) -> bool:
        has_failed = self._news.world is not None and bool(self._news.world.failure)
        return has_failed or self._fleet.is_unreachable() or self._plan.unwanted.is_set()

    def _handle_next(self, until: float) -> None:
        try:
            program, message = self._inbox.get(timeout=max(until - time.monotonic(), 0.001))
        except queue.Empty:
            return
        self._news.handle(program, message)

    def _check_started(self) -> None:
        """Accept the workers that have come, or raise an error that says which nodes failed and why."""
        ready = self._ready()
        if ready >= self._plan.slots:
            return
        if self._news.world is not None and self._news.world.failure:
            raise EngineError(f"{self._news.world.failure}{self._describe_failures()}")
        seconds = self._plan.timeout - max(self._deadline - time.monotonic(), 0)
        text = f"{ready} of {self._plan.slots} workers came within {seconds:.1f} s.{self._describe_failures()}"
        if self._plan.min_slots is not None and ready >= self._plan.min_slots > 0:
            log.warning("%s\nContinuing with %d, as min_slots=%d allows.", text, ready, self._plan.min_slots)
            return
        connected = self._news.connected_nodes
        enough = ready or sum(node.slots for node in self._plan.nodes if node.name in connected) or 1
        raise EngineError(
            f"{text}\nThe logs are in {self._plan.run_dir}. To give slow nodes more time: Cluster(timeout="
            f"{4 * self._plan.timeout:g}); to continue with fewer workers: Cluster(min_slots={enough})."
        )

    def _describe_failures(self) -> str:
        workers = self._news.workers
        controller = self._fleet.controller
        is_in_job = self._plan.allocation is not None
        silent = [node.name for node in self._plan.nodes if node.name not in self._news.connected_nodes]
        return describe_failures(
            ControllerState(controller, controller in self._fleet.ended, workers is not None),
            self._fleet.launchers,
            self._news.connected_nodes,
            workers.hosts if workers is not None else (),
            labelled=is_in_job,
            late=late_nodes(silent, self._plan.environment, LATE_SECONDS) if is_in_job else "",
        )

    def stop(self) -> None:
        """End the programs, all at once, then the news thread and the client."""
        self._watch.announce_stop()
        self._fleet.stop(STOP_SECONDS if self._has_started else FAILED_START_STOP_SECONDS)
        self._watch.stop()
        if self._news.workers is not None:
            self._news.workers.close()
