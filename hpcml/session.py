"""One life of a Cluster: the engine, the dispatcher and the display, opened together and closed together."""

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from contextlib import ExitStack
from pathlib import Path

from hpcml import engines
from hpcml.allocation import Allocation, detect
from hpcml.dispatch import Dispatcher
from hpcml.ending import Ending
from hpcml.lives import open_run
from hpcml.monitor import Monitor
from hpcml.plan import Options, Plan, make_nodes, preloads
from hpcml.progress import Totals, closing_line, display_for
from hpcml.store import Store
from hpcml.surroundings import Surroundings
from hpcml.workers import Workers

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
    """The workers of an open Cluster; ``close`` ends them, and so does the end of this process."""

    def __init__(self, options: Options) -> None:
        self.options = options
        allocation = detect(os.environ)
        name = options.engine
        if name == "auto":
            name = "local" if allocation is None else "ipyparallel"
        self.engine = name
        start = engines.load(name)
        began = time.monotonic()
        label = allocation.label if allocation else "local"
        self.run_dir, self.ledger = open_run(options, label, sys.argv, os.environ)
        self.display = display_for(options.progress, sys.stderr)
        self._owned = ExitStack()
        self._closed = False
        self._process = os.getpid()
        self._closing = threading.Lock()  # a shutdown in another thread and the end of the process may meet
        try:
            self.plan = _plan(allocation, options, name, self.run_dir, self.ledger.life if self.ledger else 1)
            self._say_resumed()
            self.ending = Ending(options, os.environ, self.ledger)
            self.workers: Workers = self._owned.enter_context(start(self.plan))
            self.store = Store(self.workers.staging)
            self.monitor = Monitor(self._totals(began), self.display, self.ledger)
            self.dispatcher = self._new_dispatcher()
            self.ending.watch(self.dispatcher)
            self._begin_life()
        except BaseException:
            self.close()
            raise
        # As concurrent.futures does, before threads are joined; after the engine's library has registered its
        # own end, for the last to register is the first to be called.
        threading._register_atexit(_close_at_exit, weakref.ref(self))  # type: ignore[attr-defined]
        self._say(_opening_line(name, self.plan, self.workers, time.monotonic() - began))

    def _new_dispatcher(self) -> Dispatcher:
        around = Surroundings(self.plan.directory, self.plan.environment)
        self._owned.callback(around.close)
        restore, limits, retries = self.store.restore, self.ending.limits, self.options.retries
        return Dispatcher(self.workers, restore, self.monitor, limits, retries, surroundings=around.pack)

    def suits(self, options: Options) -> bool:
        """Tell whether these workers are what `options` ask for."""
        return (
            not self._closed
            and options.engine in ("auto", self.engine)
            and options.slots_per_node in (None, self.options.slots_per_node)
            and options.cpus_per_slot in (None, self.options.cpus_per_slot)
            and options.data_dir in (None, self.options.data_dir)
            and options.resume in (False, self.options.resume)
            and options.requeue in (False, self.options.requeue)
            and options.task_timeout in (None, self.options.task_timeout)
        )

    def _totals(self, began: float) -> Totals:
        nodes = self.plan.nodes
        return Totals(
            slots=self.workers.slots,
            hosts=len(self.workers.hosts),
            cpus_per_slot=nodes[0].cpus_per_slot,
            opened=began,
            allocated_cpus=sum(node.cpus or node.slots * node.cpus_per_slot for node in nodes),
        )

    def _say_resumed(self) -> None:
        if self.ledger is not None and self.ledger.life > 1:
            self._say(f"hpcml: resuming {self.run_dir}, which holds {self.ledger.known} results")
        elif self.options.resume:
            self._say("hpcml: there is nothing to resume: this is a new run")

    def _begin_life(self) -> None:
        if self.ledger is not None:
            slots = {node.name: node.slots for node in self.plan.nodes if node.name in self.workers.hosts}
            cpus = self.monitor.totals.allocated_cpus
            per_slot = self.monitor.totals.cpus_per_slot
            memory = {node.name: node.memory for node in self.plan.nodes if node.memory is not None}
            self.ledger.begin(engine=self.engine, slots=slots, cpus=cpus, cpus_per_slot=per_slot, memory=memory)

    def _say(self, line: str) -> None:
        if self.options.progress:
            print(line, file=sys.stderr, flush=True)

    def close(self, wait: bool = False) -> None:
        """End the workers, with `wait` after the last task; closing twice is harmless."""
        with self._closing:
            if self._closed or os.getpid() != self._process:  # a forked child owns nothing of it
                return
            self._closed = True
        try:
            if hasattr(self, "dispatcher"):
                self.dispatcher.close(wait=wait)
        finally:
            if hasattr(self, "store"):
                self.store.clear()
            self._owned.close()
            if hasattr(self, "dispatcher"):
                self.dispatcher.prints.show_rest()
            self.display.close()
            stopped = hasattr(self, "dispatcher") and self.dispatcher.out_of_time
            if self.ledger is not None:
                self.ledger.close("out of time" if stopped else "ended" if wait else "stopped")
            with contextlib.suppress(OSError):  # it stays when there are logs in it
                self.run_dir.rmdir()
                self.run_dir.parent.rmdir()
            if hasattr(self, "dispatcher"):
                self._say(closing_line(self.monitor.totals, time.monotonic()))
            if hasattr(self, "ending"):
                self.ending.finish(stopped)


def _plan(allocation: Allocation | None, options: Options, engine: str, run_dir: Path, life: int) -> Plan:
    everywhere = engine != "local"
    nodes = make_nodes(allocation, options, usable_cpus(), everywhere)
    chosen = options.preload if options.preload is not None else preloads(list(sys.modules))
    return Plan(
        nodes=nodes,
        allocation=allocation if everywhere else None,
        run_dir=run_dir,
        environment=dict(os.environ),
        directory=str(Path.cwd()),
        timeout=options.timeout,
        min_slots=options.min_slots,
        preload=chosen,
        data_dir=None if options.data_dir is None else options.data_dir.absolute(),
        life=life,
    )


def _opening_line(name: str, plan: Plan, workers: Workers, seconds: float) -> str:
    where = f"job {plan.allocation.label}" if plan.allocation else "this computer"
    hosts = ", ".join(workers.hosts[:8]) + (", …" if len(workers.hosts) > 8 else "")
    slots = f"{workers.slots} slot" + ("s" if workers.slots != 1 else "")
    logs = f"; logs in {plan.run_dir}" if any(plan.run_dir.glob("*.log")) else ""
    return f"hpcml: engine {name}, {slots} on {hosts} ({where}), ready in {seconds:.1f} s{logs}"
