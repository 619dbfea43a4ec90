"""Start of a Cluster's workers: the plan, the start in a thread or not, the message when they are ready."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from hpcml.cluster.dispatch.dispatcher import Dispatcher
from hpcml.cluster.monitor import Monitor
from hpcml.cluster.options import Options
from hpcml.cluster.progress import Totals
from hpcml.data.staging.store import Store
from hpcml.engines.container import workers_container
from hpcml.engines.interface import Workers
from hpcml.engines.plan import Plan, make_nodes, preloads
from hpcml.errors import EngineError, shut_down_error
from hpcml.journal.run_journal import RunJournal
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.node_wait import LONGEST_SECONDS

__all__ = [
    "Running",
    "Start",
    "begin_record",
    "end_record",
    "make_plan",
    "opening_line",
    "place_of",
    "resumed_line",
    "totals_of",
    "usable_cpus",
]

START_GRACE_SECONDS = 60.0  # for a start to end after its own timeout
FOR_WORKERS = "hpcml.cluster.joblib.worker"  # module that the nodes import besides
STAGING_SECONDS = 1800.0  # for the copies of a virtual environment


@dataclass(frozen=True)
class Running:
    """Parts of a Cluster whose workers are ready; ``script_state`` as in `Dispatcher`."""

    workers: Workers
    store: Store
    monitor: Monitor
    dispatcher: Dispatcher
    script_state: Callable[[], bytes] = bytes


class Start:
    """The start of a Cluster's workers, in this thread or in one of its own, or in the first that waits for it.

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
        self.waited = 0.0  # seconds that callers have waited for the workers, the longest of all threads
        self._beginning = threading.Lock()  # several threads may be the first that wait
        # The error of a start in a thread, until a caller has waited for the start.
        self.unreported_error: BaseException | None = None

    def run(self) -> None:
        """Start the workers and return when they are ready; raise the error of a start that fails."""
        self.has_begun = True
        began = time.monotonic()
        try:
            self._outcome.set_result(self._start())
        except BaseException as error:
            self._outcome.set_exception(error)
            raise
        finally:
            self.waited = time.monotonic() - began

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
        seconds = self._plan.timeout + START_GRACE_SECONDS + (STAGING_SECONDS if self._plan.stage_env else 0)
        seconds += LONGEST_SECONDS if self._plan.allocation is not None else 0
        try:
            return self._outcome.exception(seconds)
        except TimeoutError:
            return EngineError(
                f"the start of the workers has not ended after {seconds:g} s; the logs are in {self._plan.run_dir}"
            )

    def outcome_now(self) -> Running | None:
        """Return the workers and their services if they are ready."""
        is_ready = self._outcome.done() and self._outcome.exception() is None
        return self._outcome.result() if is_ready else None

    def wait(self) -> Running:
        """Wait for the end of the start; return the workers and their services, or raise its error."""
        with self._beginning:
            if not self.has_begun:
                if self._plan.unwanted.is_set():
                    raise shut_down_error()
                self.run()
        began = time.monotonic()
        error = self.error()
        self.waited = max(self.waited, time.monotonic() - began)
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
    used = allocation if everywhere else None
    return Plan(
        nodes=options.comm.nodes if options.comm else make_nodes(allocation, cpus, everywhere, **options.of_slots),
        allocation=used,
        run_dir=run_dir,
        environment=dict(environment),
        directory=str(Path.cwd()),
        timeout=options.timeout,
        min_slots=options.min_slots,
        preload=(*chosen, FOR_WORKERS),
        data_dir=None if options.data_dir is None else options.data_dir.absolute(),
        mpi=options.mpi,
        stage_env=options.stage_env,
        container=workers_container(options, environment, used, _directories(options, run_dir)),
        session=session,
    )


def _directories(options: Options, run_dir: Path) -> list[str]:
    """Return the directories that a container of workers shows: the script's, its modules', and the run's."""
    modules = [sys.path[0]] if sys.path and Path(sys.path[0]).is_dir() else []
    data = [] if options.data_dir is None else [str(options.data_dir.absolute())]
    return [str(Path.cwd()), *modules, *data, str(run_dir)]


def totals_of(plan: Plan, workers: Workers, began: float) -> Totals:
    """Return the totals of a Cluster whose start began at `began`, and that has run no task yet."""
    return Totals(
        slots=workers.slots,
        hosts=len(workers.hosts),
        cpus_per_slot=plan.nodes[0].cpus_per_slot,
        opened=began,
        allocated_cpus=plan.cpus,
    )


def begin_record(run_journal: RunJournal, engine: str, plan: Plan, workers: Workers) -> None:
    """Record the beginning of a session whose workers are ready."""
    run_journal.begin(
        engine=engine,
        slots={node.name: node.slots for node in plan.nodes if node.name in workers.hosts},
        cpus=plan.cpus,
        cpus_per_slot=plan.nodes[0].cpus_per_slot,
        memory={node.name: node.memory for node in plan.nodes if node.memory is not None},
    )


def end_record(run_journal: RunJournal, running: Running | None, stopped: bool, wait: bool) -> None:
    """Record the end of a session: stopped for want of time, after its last task (`wait`), or before that."""
    reason = "out of time" if stopped else "ended" if wait else "stopped"
    run_journal.close(reason, running.dispatcher.sent_nbytes if running is not None else 0)


def resumed_line(run_dir: Path, run_journal: RunJournal | None) -> str:
    """Return the message of a Cluster that was asked to resume a run."""
    if run_journal is not None and run_journal.session > 1:
        return f"hpcml: resuming {run_dir}, which holds {run_journal.reusable} results"
    return "hpcml: there is nothing to resume: this is a new run"


def place_of(plan: Plan) -> str:
    """Return the job of a plan in words, or this computer."""
    return f"job {plan.allocation.label}" if plan.allocation else "this computer"


def opening_line(name: str, place: str, run_dir: Path, workers: Workers, seconds: float) -> str:
    """Return the message of a Cluster that is ready after `seconds`; `place` names its jobs, or this computer."""
    hosts = ", ".join(workers.hosts[:8]) + (", …" if len(workers.hosts) > 8 else "")
    slots = f"{workers.slots} slot" + ("s" if workers.slots != 1 else "")
    logs = f"; logs in {run_dir}" if any(run_dir.glob("*.log")) else ""
    return f"hpcml: engine {name}, {slots} on {hosts} ({place}), ready in {seconds:.1f} s{logs}"


def usable_cpus() -> int:
    """Return the CPUs that this process may use: by affinity, cgroup limit and LOKY_MAX_CPU_COUNT."""
    from joblib import cpu_count

    return int(cpu_count())
