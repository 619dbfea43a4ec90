"""Start of a Cluster, and the message when it is ready."""

import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from hpcml.cluster.dispatch.dispatcher import Dispatcher
from hpcml.cluster.monitor import Monitor
from hpcml.cluster.options import Options
from hpcml.data.staging.store import Store
from hpcml.engines.interface import Workers
from hpcml.engines.plan import Plan, make_nodes, preloads
from hpcml.errors import EngineError
from hpcml.slurm.allocation import Allocation

__all__ = ["Running", "Start", "make_plan", "opening_line"]

PATIENCE = 60.0  # seconds that a start is given to end after its own timeout


@dataclass(frozen=True)
class Running:
    """Parts of a Cluster whose workers are ready."""

    workers: Workers
    store: Store
    monitor: Monitor
    dispatcher: Dispatcher


class Start:
    """The start of a Cluster's workers, in this thread or beside the program.

    Parameters
    ----------
    run
        Starts them.
    plan
        Says how long that may take, and is marked as unwanted when nobody waits any longer.
    """

    def __init__(self, run: Callable[[], Running], plan: Plan) -> None:
        self._run = run
        self._plan = plan
        self._outcome: Future[Running] = Future()
        self.begun = False
        self.unheard: BaseException | None = None  # why the workers did not start, until somebody has asked

    def here(self) -> None:
        """Start the workers and return when they are ready; raise what keeps them."""
        self.begun = True
        try:
            self._outcome.set_result(self._run())
        except BaseException as error:
            self._outcome.set_exception(error)
            raise

    def meanwhile(self) -> None:
        """Start the workers in a thread: a daemon, so that no thread of theirs is waited for before they end."""
        self.begun = True
        self._thread = threading.Thread(target=self._start, name="hpcml-start", daemon=True)
        os.register_at_fork(before=self._settle)
        self._thread.start()

    def _settle(self) -> None:
        """Let no other thread fork before the start has ended: a child would find locks that nobody gives back."""
        if threading.current_thread() is not self._thread:
            self.error()

    def _start(self) -> None:
        try:
            self._outcome.set_result(self._run())
        except BaseException as error:
            self.unheard = None if self._plan.unwanted.is_set() else error
            self._outcome.set_exception(error)

    def error(self) -> BaseException | None:
        """Return why the workers did not start; this waits until that is decided."""
        seconds = self._plan.timeout + PATIENCE
        try:
            return self._outcome.exception(seconds)
        except TimeoutError:
            return EngineError(
                f"the start of the workers has not ended after {seconds:g} s; the logs are in {self._plan.run_dir}"
            )

    def outcome(self) -> Running:
        """Return the workers and what serves them, when they are ready; raise what keeps them."""
        error = self.error()
        self.unheard = None
        if error is not None:
            raise error
        return self._outcome.result()

    def is_reason(self, error: BaseException) -> bool:
        """Tell whether `error` is why the workers did not start."""
        return self._outcome.done() and self._outcome.exception() is error


def make_plan(
    *,
    allocation: Allocation | None,
    options: Options,
    engine: str,
    environment: Mapping[str, str],
    cpus: int,
    run_dir: Path,
    session: int,
) -> Plan:
    """Return what `engine` is to start; `cpus` are those of this computer that this process may use."""
    everywhere = engine != "local"
    chosen = options.preload if options.preload is not None else preloads(list(sys.modules))
    return Plan(
        nodes=make_nodes(allocation, cpus, everywhere, options.slots_per_node, options.cpus_per_slot),
        allocation=allocation if everywhere else None,
        run_dir=run_dir,
        environment=dict(environment),
        directory=str(Path.cwd()),
        timeout=options.timeout,
        min_slots=options.min_slots,
        preload=chosen,
        data_dir=None if options.data_dir is None else options.data_dir.absolute(),
        session=session,
    )


def opening_line(name: str, plan: Plan, workers: Workers, seconds: float) -> str:
    """Return what is said of a Cluster that is ready after so many seconds."""
    where = f"job {plan.allocation.label}" if plan.allocation else "this computer"
    hosts = ", ".join(workers.hosts[:8]) + (", …" if len(workers.hosts) > 8 else "")
    slots = f"{workers.slots} slot" + ("s" if workers.slots != 1 else "")
    logs = f"; logs in {plan.run_dir}" if any(plan.run_dir.glob("*.log")) else ""
    return f"hpcml: engine {name}, {slots} on {hosts} ({where}), ready in {seconds:.1f} s{logs}"
