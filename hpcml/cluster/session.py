"""One session of a Cluster: the engine, the dispatcher and the display, opened together and closed together."""

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
from hpcml.slurm.allocation import detect

__all__ = ["Session", "usable_cpus"]

log = logging.getLogger("hpcml")


def _close_at_exit(session: "weakref.ref[Session]") -> None:
    """Finish what was submitted to a Cluster that nobody has shut down; after an error, without waiting."""
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
        What its runs are remembered by; by default ``sys.argv``.
    wait
        Return when the workers are ready. Otherwise a thread starts them, `running` waits for them, and whoever
        opened the session closes it. What needs no worker is decided at once in both cases.
    """

    def __init__(self, options: Options, program: Sequence[str] | None = None, wait: bool = True) -> None:
        allocation = detect(os.environ)
        auto = "local" if allocation is None else "ipyparallel"
        self.engine = name = auto if options.engine == "auto" else options.engine
        self.options = replace(options, engine=name)
        start = engines.load(name)
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
            self.plan = make_plan(
                allocation=allocation,
                options=options,
                engine=name,
                environment=os.environ,
                cpus=usable_cpus(),
                run_dir=self.run_dir,
                session=self.run_journal.session if self.run_journal else 1,
            )
            self._say_resumed()
            self.ending = JobEnd(options, os.environ, self.run_journal)
            self.start = Start(partial(self._start, start), self.plan)
            if wait:
                self._open()
            else:
                self.start.meanwhile()
                engines.import_library(name)  # not beside the imports of the script: they may go in circles
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self.start.here()
        # As concurrent.futures does, before threads are joined; after the engine's library has registered its
        # own end, for the last to register is the first to be called.
        call_at_its_end(_close_at_exit, weakref.ref(self))

    def _start(self, start: engines.Starter) -> Running:
        workers: Workers = self._owned.enter_context(start(self.plan))
        store = Store(workers.staging)
        monitor = Monitor(self._totals(workers), self.display, self.run_journal)
        around = ScriptState(self.plan.directory, self.plan.environment)
        self._owned.callback(around.close)
        limits, retries = self.ending.limits, self.options.retries
        dispatcher = Dispatcher(workers, store.restore, monitor, limits, retries, script_state=around.pack)
        self.ending.watch(dispatcher)
        self._begin_session(workers, monitor.totals)
        self.say(opening_line(self.engine, self.plan, workers, time.monotonic() - self._began))
        return Running(workers, store, monitor, dispatcher)

    @property
    def running(self) -> Running:
        """The workers and what serves them; this waits until they are ready.

        Raises
        ------
        EngineError
            They did not start.
        """
        if self._running is None:
            self._running = self.start.outcome()
        return self._running

    @property
    def workers(self) -> Workers:
        """The workers; see `running`."""
        return self.running.workers

    @property
    def store(self) -> Store:
        """Store of data on their nodes; see `running`."""
        return self.running.store

    @property
    def monitor(self) -> Monitor:
        """Monitor of tasks; see `running`."""
        return self.running.monitor

    @property
    def dispatcher(self) -> Dispatcher:
        """Dispatcher of tasks; see `running`."""
        return self.running.dispatcher

    def is_dispatching(self) -> bool:
        """Tell whether the caller is a callback of a future."""
        return self._running is not None and self._running.dispatcher.is_this_thread()

    def matches(self, options: Options) -> bool:
        """Tell whether these workers are what `options` ask for."""
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

    def _say_resumed(self) -> None:
        if self.run_journal is not None and self.run_journal.session > 1:
            self.say(f"hpcml: resuming {self.run_dir}, which holds {self.run_journal.reusable} results")
        elif self.options.resume:
            self.say("hpcml: there is nothing to resume: this is a new run")

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

    def say(self, line: str) -> None:
        """Print a line of hpcml's own, unless the user wants none."""
        if self.options.progress and sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)

    def close(self, wait: bool = False) -> None:
        """End the workers, with `wait` after the last task; closing twice is harmless."""
        with self._closing:
            if self._closed or os.getpid() != self._process:  # a forked child owns nothing of it
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
            with contextlib.suppress(OSError):  # it stays when there are logs in it
                self.run_dir.rmdir()
                self.run_dir.parent.rmdir()
            if running is not None:
                self.say(closing_line(running.monitor.totals, time.monotonic()))
            if hasattr(self, "ending"):
                self.ending.finish(stopped)

    def _end_start(self) -> Running | None:
        """Return what runs; a start that is under way is given up, and so ends soon."""
        if not hasattr(self, "start") or not self.start.begun:
            return None
        self.plan.unwanted.set()
        return None if self.start.error() is not None else self.running
