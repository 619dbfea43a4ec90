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
from typing import cast

from hpcml import engines
from hpcml.cluster import opening
from hpcml.cluster.dispatch.dispatcher import Dispatcher
from hpcml.cluster.engine_choice import choose_engine
from hpcml.cluster.fleet.account import final_totals
from hpcml.cluster.fleet.adapt import work_of
from hpcml.cluster.fleet.choice import choose
from hpcml.cluster.fleet.fleet import JobFleet
from hpcml.cluster.fleet.request import is_filled_by
from hpcml.cluster.job_end import JobEnd
from hpcml.cluster.main_thread import call_at_its_end
from hpcml.cluster.monitor import Monitor
from hpcml.cluster.notebook.interactive import Interactive
from hpcml.cluster.opening import Running, Start, make_plan
from hpcml.cluster.options import Options
from hpcml.cluster.progress import Display, closing_line, display_for
from hpcml.data.process_state import ScriptState
from hpcml.data.staging.store import Store
from hpcml.engines.interface import Workers
from hpcml.journal.runs import open_run
from hpcml.slurm.allocation import Allocation, detect

__all__ = ["Session"]

log = logging.getLogger("hpcml")
ONE_MORE = "hpcml: a Cluster of an earlier cell is open as well: end one with its shutdown() unless you need both"


def _close_at_exit(session: "weakref.ref[Session]") -> None:
    """Close a Cluster that was not shut down: after its tasks; at once after an error, and in a notebook."""
    opened = session()
    if opened is not None:
        opened.close(wait=not hasattr(sys, "last_type") and not opened.interactive.is_notebook)


class Session:
    """The workers of an open Cluster; ``close`` ends them, and so does the end of this process.

    Parameters
    ----------
    program
        The words by which a resumed run is found; by default ``sys.argv``.
    wait
        Return when the workers are ready. Otherwise a thread starts them, `running` waits for them, and the caller
        must close the session; with None their first use starts them. Errors of the options or the run directory
        are raised at once in all cases.
    """

    def __init__(self, options: Options, program: Sequence[str] | None = None, wait: bool | None = True) -> None:
        choice = choose(options, detect(os.environ), os.environ)
        allocation = choice.allocation
        self.engine, self._reason = choose_engine(choice, os.environ)
        self.options = replace(choice.options, engine=self.engine)
        ranks = options.comm
        start_workers: engines.Starter = engines.load(self.engine) if ranks is None else ranks.start
        self.fleet: JobFleet | None = None
        if choice.request is not None:
            self.fleet = JobFleet(choice.request, start_workers, self.print_line)
            start_workers = cast(engines.Starter, self.fleet.start)
        self._began, self.own_seconds = time.monotonic(), 0.0  # of the script, without its wait for the workers
        label = allocation.label if allocation else "fleet" if self.fleet else "local"
        self.run_dir, self.run_journal = open_run(options, label, program or sys.argv, os.environ)
        self.interactive = Interactive()
        shows = options.progress and sys.stderr is not None
        self.display: Display = (shows and self.interactive.new_bars()) or display_for(shows, sys.stderr)
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

    def _open(self, allocation: Allocation | None, start_workers: engines.Starter, wait: bool | None) -> None:
        self.plan = make_plan(
            allocation=allocation,
            options=self.options,
            engine=self.engine,
            environment=os.environ,
            cpus=opening.usable_cpus(),
            run_dir=self.run_dir,
            session=self.run_journal.session if self.run_journal else 1,
        )
        if self.options.resume:
            self.print_line(opening.resumed_line(self.run_dir, self.run_journal))
        self.job_end = JobEnd(self.options, os.environ, self.run_journal)
        self.start = Start(partial(self._start, start_workers), self.plan)
        if wait:
            self.start.run()
            # After the engine's library has registered its own callback: the last one is called first.
            call_at_its_end(_close_at_exit, weakref.ref(self))
        elif wait is not None:
            self.start.run_in_thread()
            # Now, not while the script's own imports run: imports of two threads could wait for each other.
            engines.import_library(self.engine)

    def _start(self, start_workers: engines.Starter) -> Running:
        workers: Workers = self._owned.enter_context(start_workers(self.plan))
        store = Store(workers.staging)
        self.plan = self.plan if self.fleet is None else self.fleet.opened_plan
        monitor = Monitor(opening.totals_of(self.plan, workers, self._began), self.display, self.run_journal)
        monitor.on_change = self.interactive.note_change
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
        self.interactive.watch(dispatcher.abandon_groups, self.close)
        if self.interactive.is_one_more():
            self.print_line(ONE_MORE)
        if self.fleet is not None:
            self.fleet.work = partial(work_of, dispatcher.counts, monitor.totals)
        if self.run_journal is not None:
            opening.begin_record(self.run_journal, self.engine, self.plan, workers)
        place = opening.place_of(self.plan) if self.fleet is None else self.fleet.where
        seconds = time.monotonic() - self._began
        engine = f"{self.engine} ({self._reason})" if self._reason else self.engine
        self.print_line(opening.opening_line(engine, place, self.run_dir, workers, seconds))
        return Running(workers, store, monitor, dispatcher, script_state.pack)

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
    def running_now(self) -> Running | None:
        """The running parts; None while the workers start."""
        return self._running or self.start.outcome_now()

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

    @property
    def ended_tasks(self) -> int:
        """Number of tasks that have ended in this session."""
        return 0 if self._running is None else self._running.monitor.totals.tasks

    def matches(self, options: Options) -> bool:
        """Return whether this session is open and has all that `options` ask for."""
        return not self._closed and options.are_met_by(self.options) and is_filled_by(options, self.plan)

    def begin_call(self, group: str, name: str, tasks: int | None, grows: bool = False) -> None:
        """Note that `tasks` tasks of a group are about to be submitted; see `hpcml.cluster.progress.Display`."""
        if not grows:
            self.monitor.expect(group, tasks or 0)
        self.interactive.note_call(group)
        self.display.begin(group, name.rpartition(".")[2], tasks, grows)

    def print_line(self, line: str) -> None:
        """Print a line on standard error, unless the user wants none."""
        if self.options.progress and sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)

    def close(self, wait: bool = False) -> None:
        """End the workers, with `wait` after the last task; closing twice is harmless."""
        with self._closing:
            if self._closed or os.getpid() != self._process:  # in a fork the workers belong to the parent
                return
            self._closed = True
        running = self._end_start()
        try:
            if running is not None:
                running.dispatcher.close(wait=wait)
            self.own_seconds = time.monotonic() - self._began - self.start.waited
        finally:
            if running is not None:
                running.store.clear()
            self._owned.close()
            if running is not None:
                running.dispatcher.prints.show_rest()
            self.display.close()
            self.interactive.close()
            stopped = running is not None and running.dispatcher.is_out_of_time
            if self.run_journal is not None:
                opening.end_record(self.run_journal, running, stopped, wait)
            with contextlib.suppress(OSError):  # a directory that holds logs or a journal stays
                self.run_dir.rmdir()
                self.run_dir.parent.rmdir()
            if running is not None:
                totals = running.monitor.totals
                if self.fleet is not None:
                    totals = final_totals(totals, self.fleet.jobs, time.monotonic())
                self.print_line(closing_line(totals, time.monotonic()))
            if hasattr(self, "job_end"):
                self.job_end.finish(stopped)

    def _end_start(self) -> Running | None:
        """Return the running parts; a start that has not ended is given up, and ends soon."""
        if not hasattr(self, "start"):
            return None
        self.plan.unwanted.set()
        if not self.start.has_begun:
            return None
        return None if self.start.error() is not None else self.running
