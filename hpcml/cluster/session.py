"""Session of a Cluster: engine, dispatcher, journal and display, opened together and closed together."""

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from hpcml import engines
from hpcml.cluster.dispatch.dispatcher import Dispatcher
from hpcml.cluster.job_end import JobEnd
from hpcml.cluster.main_thread import call_at_its_end
from hpcml.cluster.monitor import Monitor
from hpcml.cluster.opening import Running, Start, make_plan, opening_line
from hpcml.cluster.options import Options
from hpcml.cluster.progress import Totals, closing_line, display_for
from hpcml.data.process_state import ScriptState
from hpcml.data.staging.store import Store
from hpcml.engines.interface import Workers
from hpcml.journal.runs import open_run
from hpcml.slurm.allocation import Allocation, detect

__all__ = ["Session", "usable_cpus"]

log = logging.getLogger("hpcml")


def _close_at_exit(session: "weakref.ref[Session]") -> None:
    """Close a Cluster that was not shut down: after its tasks, or at once where an error ends the program."""
    opened = session()
    if opened is not None:
        opened.close(wait=not hasattr(sys, "last_type"))


def usable_cpus() -> int:
    """Return the CPUs that this process may use: by affinity, cgroup limit and LOKY_MAX_CPU_COUNT."""
    from joblib import cpu_count

    return int(cpu_count())


class Session:
    """The workers of an open Cluster; ``close`` ends them, and so does the end of this process.

    Parameters
    ----------
    program
        The words by which a resumed run is found; by default ``sys.argv``.
    wait
        Return when the workers are ready. Otherwise a thread starts them, `running` waits for them, and the caller
        must close the session. Errors of the options or the run directory are raised at once in both cases.
    """

    def __init__(self, options: Options, program: Sequence[str] | None = None, wait: bool = True) -> None:
        allocation = detect(os.environ)
        auto = "local" if allocation is None else "ipyparallel"
        self.engine = auto if options.engine == "auto" else options.engine
        self.options = replace(options, engine=self.engine)
        start_workers = engines.load(self.engine)
        self._began = time.monotonic()
        label = allocation.label if allocation else "local"
        self.run_dir, self.run_journal = open_run(options, label, program or sys.argv, os.environ)
        self.display = display_for(options.progress and sys.stderr is not None, sys.stderr)
        self._owned = ExitStack()
        self._closed = False
        self._process = os.getpid()
        self._closing = threading.Lock()  # a shutdown in another thread and the end of the process may meet
        self._running: Running | None = None
        try:
            self._open(allocation, start_workers, wait)
        except BaseException:
            self.close()
            raise

    def _open(self, allocation: Allocation | None, start_workers: engines.Starter, wait: bool) -> None:
        self.plan = make_plan(
            allocation=allocation,
            options=self.options,
            engine=self.engine,
            environment=os.environ,
            cpus=usable_cpus(),
            run_dir=self.run_dir,
            session=self.run_journal.session if self.run_journal else 1,
        )
        self._print_resumed()
        self.job_end = JobEnd(self.options, os.environ, self.run_journal)
        self.start = Start(partial(self._start, start_workers), self.plan)
        if wait:
            self.start.run()
            # After the engine's library has registered its own callback: the last one is called first.
            call_at_its_end(_close_at_exit, weakref.ref(self))
        else:
            self.start.run_in_thread()
            # Now, not while the script's own imports run: imports of two threads could wait for each other.
            engines.import_library(self.engine)

    def _start(self, start_workers: engines.Starter) -> Running:
        workers: Workers = self._owned.enter_context(start_workers(self.plan))
        store = Store(workers.staging)
        monitor = Monitor(self._totals(workers), self.display, self.run_journal)
        script_state = ScriptState(self.plan.directory, self.plan.environment)
        self._owned.callback(script_state.close)
        dispatcher = Dispatcher(
            workers,
            store.restore,
            monitor,
            self.job_end.limits,
            self.options.retries,
            script_state=script_state.pack,
        )
        self.job_end.watch(dispatcher)
        self._begin_session(workers, monitor.totals)
        self.print_line(opening_line(self.engine, self.plan, workers, time.monotonic() - self._began))
        return Running(workers, store, monitor, dispatcher)

    @property
    def running(self) -> Running:
        """The workers, their data store, monitor and dispatcher; waits until they are ready.

        Raises
        ------
        EngineError
            The workers did not start.
        """
        if self._running is None:
            self._running = self.start.wait()
        return self._running

    @property
    def workers(self) -> Workers:
        """The workers; see `running`."""
        return self.running.workers

    @property
    def store(self) -> Store:
        """The store of data on the workers' nodes; see `running`."""
        return self.running.store

    @property
    def monitor(self) -> Monitor:
        """The monitor of tasks; see `running`."""
        return self.running.monitor

    @property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher of tasks; see `running`."""
        return self.running.dispatcher

    def is_dispatching(self) -> bool:
        """Return whether the caller is a callback of a future, in the dispatcher thread."""
        return self._running is not None and self._running.dispatcher.is_this_thread()

    def matches(self, options: Options) -> bool:
        """Return whether this session is open and has all that `options` ask for."""
        return not self._closed and options.are_met_by(self.options)

    def _totals(self, workers: Workers) -> Totals:
        nodes = self.plan.nodes
        return Totals(
            slots=workers.slots,
            hosts=len(workers.hosts),
            cpus_per_slot=nodes[0].cpus_per_slot,
            opened=self._began,
            allocated_cpus=sum(node.cpus or node.slots * node.cpus_per_slot for node in nodes),
        )

    def _print_resumed(self) -> None:
        if self.run_journal is not None and self.run_journal.session > 1:
            self.print_line(f"hpcml: resuming {self.run_dir}, which holds {self.run_journal.reusable} results")
        elif self.options.resume:
            self.print_line("hpcml: there is nothing to resume: this is a new run")

    def _begin_session(self, workers: Workers, totals: Totals) -> None:
        if self.run_journal is not None:
            slots = {node.name: node.slots for node in self.plan.nodes if node.name in workers.hosts}
            memory = {node.name: node.memory for node in self.plan.nodes if node.memory is not None}
            self.run_journal.begin(
                engine=self.engine,
                slots=slots,
                cpus=totals.allocated_cpus,
                cpus_per_slot=totals.cpus_per_slot,
                memory=memory,
            )

    def print_line(self, line: str) -> None:
        """Print a line on standard error, unless the user wants none."""
        if self.options.progress and sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)

    def close(self, wait: bool = False) -> None:
        """End the workers, with `wait` after the last task; closing twice is harmless."""
        with self._closing:
            is_forked = os.getpid() != self._process  # the workers belong to the process that forked this one
            if self._closed or is_forked:
                return
            self._closed = True
        running = self._end_start()
        try:
            if running is not None:
                running.dispatcher.close(wait=wait)
        finally:
            if running is not None:
                running.store.clear()
            self._owned.close()
            if running is not None:
                running.dispatcher.prints.show_rest()
            self.display.close()
            stopped = running is not None and running.dispatcher.is_out_of_time
            if self.run_journal is not None:
                self.run_journal.close("out of time" if stopped else "ended" if wait else "stopped")
            with contextlib.suppress(OSError):  # a directory that holds logs or a journal stays
                self.run_dir.rmdir()
                self.run_dir.parent.rmdir()
            if running is not None:
                self.print_line(closing_line(running.monitor.totals, time.monotonic()))
            if hasattr(self, "job_end"):
                self.job_end.finish(stopped)

    def _end_start(self) -> Running | None:
        """Return the running parts; a start that has not ended is given up, and ends soon."""
        if not hasattr(self, "start") or not self.start.has_begun:
            return None
        self.plan.unwanted.set()
        return None if self.start.error() is not None else self.running
