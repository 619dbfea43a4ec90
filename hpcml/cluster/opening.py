"""Start of a Cluster's workers: the plan, the start in a thread or not, the message when they are ready."""

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

START_GRACE_SECONDS = 60.0  # for a start to end after its own timeout


@dataclass(frozen=True)
class Running:
    """Parts of a Cluster whose workers are ready."""

    workers: Workers
    store: Store
    monitor: Monitor
    dispatcher: Dispatcher


class Start:
    """The start of a Cluster's workers, in this thread or in one of its own.

    Parameters
    ----------
    start
        Starts the workers.
    plan
        The plan, with the timeout of the start. Its ``unwanted`` is set when the Cluster closes before that ends.
    """

    def __init__(self, start: Callable[[], Running], plan: Plan) -> None:
        self._start = start
        self._plan = plan
        self._outcome: Future[Running] = Future()
        self.has_begun = False
        # The error of a start in a thread, until a caller has waited for the start.
        self.unreported_error: BaseException | None = None

    def run(self) -> None:
        """Start the workers and return when they are ready; raise the error of a start that fails."""
        self.has_begun = True
        try:
            self._outcome.set_result(self._start())
        except BaseException as error:
            self._outcome.set_exception(error)
            raise

    def run_in_thread(self) -> None:
        """Start the workers in a daemon thread.

        Threads that it starts are daemons as well: at exit, Python does not wait for them before the Cluster ends.
        """
        self.has_begun = True
        self._thread = threading.Thread(target=self._run_here, name="hpcml-start", daemon=True)
        os.register_at_fork(before=self._wait_before_fork)
        self._thread.start()

    def _wait_before_fork(self) -> None:
        """Have forks of other threads wait for the end of the start: the child would inherit its locks, locked."""
        if threading.current_thread() is not self._thread:
            self.error()

    def _run_here(self) -> None:
        try:
            self._outcome.set_result(self._start())
        except BaseException as error:
            self.unreported_error = None if self._plan.unwanted.is_set() else error
            self._outcome.set_exception(error)

    def error(self) -> BaseException | None:
        """Wait for the end of the start; return its error, None if the workers are ready."""
        seconds = self._plan.timeout + START_GRACE_SECONDS
        try:
            return self._outcome.exception(seconds)
        except TimeoutError:
            return EngineError(
                f"the start of the workers has not ended after {seconds:g} s; the logs are in {self._plan.run_dir}"
            )

    def wait(self) -> Running:
        """Wait for the end of the start; return the workers and their services, or raise its error."""
        error = self.error()
        self.unreported_error = None
        if error is not None:
            raise error
        return self._outcome.result()

    def has_failed_with(self, error: BaseException) -> bool:
        """Return whether `error` is the error of this start."""
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
    """Return the plan of the workers that `engine` starts; `cpus` is the number that this process may use here."""
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
    """Return the message of a Cluster that is ready after `seconds`."""
    where = f"job {plan.allocation.label}" if plan.allocation else "this computer"
    hosts = ", ".join(workers.hosts[:8]) + (", …" if len(workers.hosts) > 8 else "")
    slots = f"{workers.slots} slot" + ("s" if workers.slots != 1 else "")
    logs = f"; logs in {plan.run_dir}" if any(plan.run_dir.glob("*.log")) else ""
    return f"hpcml: engine {name}, {slots} on {hosts} ({where}), ready in {seconds:.1f} s{logs}"
