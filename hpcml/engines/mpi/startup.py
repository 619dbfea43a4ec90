"""Start of the MPI engine's workers: the wait for them, and the message where too few come."""

import logging
import queue
import time
from collections.abc import Sequence

from hpcml.engines.mpi.news import MpiNews
from hpcml.engines.mpi.step import MpiStep
from hpcml.engines.nodes.failures import LATE_SECONDS, describe_nodes
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError
from hpcml.slurm.node_wait import late_nodes
from hpcml.slurm.process import Inbox

__all__ = ["wait_ready"]

log = logging.getLogger("hpcml")


def wait_ready(plan: Plan, news: MpiNews, inbox: Inbox, deadline: float) -> None:
    """Wait for the workers until `deadline`, on the monotonic clock.

    Raises
    ------
    EngineError
        Too few have come in time.
    """
    workers, recovery = news.workers, news.recovery
    steps = tuple(recovery.steps)
    while workers.ready < workers.slots and not recovery.error and not plan.unwanted.is_set():
        if time.monotonic() > deadline:
            break
        try:
            news.handle(*inbox.get(timeout=0.05))
        except queue.Empty:
            continue
        steps = tuple(recovery.steps) or steps
    ready = workers.ready
    if ready == plan.slots:
        return
    seconds = plan.timeout - max(deadline - time.monotonic(), 0)
    text = f"{ready} of {plan.slots} workers came within {seconds:.1f} s.{_describe(plan, news, steps)}"
    if plan.min_slots is not None and ready >= plan.min_slots > 0:
        log.warning("%s\nContinuing with %d, as min_slots=%d allows.", text, ready, plan.min_slots)
        return
    if recovery.error:
        raise EngineError(f"{recovery.error}.{_describe(plan, news, steps)}")
    advice = f"; to continue with fewer workers: Cluster(min_slots={ready})" if ready else ""
    raise EngineError(
        f"{text}\nThe logs are in {plan.run_dir}. To give slow nodes more time: "
        f"Cluster(timeout={4 * plan.timeout:g}){advice}."
    )


def _describe(plan: Plan, news: MpiNews, steps: Sequence[MpiStep]) -> str:
    """Return a paragraph for each node without workers; only the log, where the error is known."""
    connected = {name for step in steps for name in step.connected}
    if news.recovery.error and connected:
        programs = [step.program for step in steps]
        return "".join(f"\n{program.log} ends with\n{program.log_tail()}" for program in programs)
    launchers = [(step.nodes, step.program) for step in steps]
    silent = [node.name for node in plan.nodes if node.name not in connected]
    is_in_job = plan.allocation is not None
    late = late_nodes(silent, plan.environment, LATE_SECONDS) if is_in_job else ""
    parts = describe_nodes(launchers, connected, news.workers.hosts, labelled=is_in_job, late=late)
    return "".join(f"\n{part}" for part in parts)
