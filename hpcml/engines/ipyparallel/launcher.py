"""The program of the worker step, one on each node: imports once, forks the engines, and is their nanny.

``python -m hpcml.engines.ipyparallel.launcher NODE MODULE…``, where an empty NODE stands for Slurm's name of
it; see `messages` for the conversation. As the parent of its engines it sees a death at once, and forks a
replacement, which first reports the death to the hub with the message that ipyparallel's own nanny sends.
Those nannies (one process of 41 MB per engine) are off.
No thread is alive when an engine is forked, and zmq is first used in the child.
"""

import contextlib
import gc
import importlib
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from hpcml.data.staging.directories import DataDirectories
from hpcml.engines.children import adopt_orphans, end_orphans, end_trees
from hpcml.engines.ipyparallel.engine import IMPORTS, run_engine
from hpcml.engines.ipyparallel.prints import NodePrints
from hpcml.engines.nodes.addresses import reach
from hpcml.engines.nodes.forked import close_input, default_signals
from hpcml.engines.nodes.memory import oom_kills
from hpcml.engines.nodes.messages import LineReader, claim_output, die_with_parent, say
from hpcml.engines.worker import become_worker
from hpcml.journal.private_files import own_directory
from hpcml.slurm.slots import gpus_of_slot, slot_cpus

__all__ = ["Launcher", "import_all", "main", "probe", "probe_first", "watch"]

YOUNG = 5.0  # seconds; an engine that dies younger has hardly run a task
YOUNG_DEATHS = 5  # so many in a row, and the slot is given up: forking on would only burn its node


def import_all(modules: list[str]) -> None:
    """Import what the engines need; a module that is missing or broken here is the task's to complain about."""
    sys.modules["debugpy"] = None  # type: ignore[assignment]  # 0.2 s and 12 MB for a debugger nobody can attach
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def probe_first(inbox: LineReader, node: str, output: int) -> None:
    """Wait for the controller's addresses and report which of them this node reaches."""
    message = inbox.read(None)
    if message is not None:
        probe(message["probe"], node, output)


def probe(offer: dict[str, Any], node: str, output: int) -> None:
    """Report which of the controller's addresses this node reaches."""
    addresses = [(address, port) for address, port in offer["addresses"]]
    say({"node": node, "reached": reach(addresses, bytes.fromhex(offer["token"]))}, output)


class Launcher:
    """The engines of one node."""

    def __init__(self, node: str, order: dict[str, Any], output: int) -> None:
        self.output = output
        share = order["nodes"][node]
        self.node, self.engine_info = node, order["engine"]
        self.slots, self.first, self.stride = share["slots"], share["first"], order["stride"]
        self.cpus, self.note = slot_cpus(
            os.sched_getaffinity(0), self.slots, share["cpus_per_slot"], share["cpus"]
        )
        data = order["data"]
        generation = order.get("generation", 0)
        self.directories = DataDirectories(data["name"], data["places"], again=generation > 0)
        self.shared = data["shared"]
        self.profile = tempfile.mkdtemp(prefix="hpcml-")  # ipyparallel wants one; nothing is kept in it
        self.living: dict[int, tuple[int, int]] = {}  # process id: (engine id, slot)
        self.oom_kills = oom_kills()
        self.homeless: list[int] = []  # slots that wait for a controller
        self.generation = [generation] * self.slots
        self.young_deaths = [0] * self.slots
        self.forked_at = [0.0] * self.slots
        self.prints = NodePrints(node, self.slots, output)

    def fork(self, slot: int, predecessor: int | None = None) -> int:
        """Fork an engine for `slot` and return its id; ids are never used twice."""
        engine: int = self.first + slot + self.generation[slot] * self.stride
        self.generation[slot] += 1
        self.profile = own_directory(self.profile)
        self.forked_at[slot] = time.monotonic()
        if (process := os.fork()) == 0:
            self._become_engine(engine, slot, predecessor)
        self.living[process] = (engine, slot)
        return engine

    def _become_engine(self, engine: int, slot: int, predecessor: int | None) -> NoReturn:
        """Turn this forked process into an engine; it ends with the process."""
        status = 1
        log = os.fdopen(os.dup(2), "w")  # the standard streams will be the tasks'
        try:
            die_with_parent()
            os.setpgid(0, 0)  # signals to the launcher's group are not for tasks
            default_signals()
            close_input()
            os.close(self.output)
            if self.cpus:
                os.sched_setaffinity(0, self.cpus[slot])
            visible = gpus_of_slot(os.environ.get("CUDA_VISIBLE_DEVICES"), slot, self.slots)
            if visible is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = visible
            gc.freeze()  # keeps the collector from copying the pages shared with the launcher
            gc.enable()
            become_worker(self.node, slot, self.prints.streams(slot))
            if "numpy.random" in sys.modules:  # all would draw the same; `random` sees to that itself
                sys.modules["numpy.random"].seed()
            run_engine(self.engine_info, engine, predecessor, self.profile, log=log, environment=os.environ)
            status = 0
        except BaseException:
            traceback.print_exc(file=log)
            log.flush()
        finally:
            os._exit(status)

    def reap(self) -> None:
        """Report the engines that have died and fork their replacements."""
        while self.living:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            if process in self.living:
                engine, slot = self.living.pop(process)
                end_orphans(self.living)
                self.prints.drain(slot)
                text = self._cause(os.waitstatus_to_exitcode(status))
                print(f"hpcml: engine {engine} (slot {slot}) ended: {text}", file=sys.stderr, flush=True)
                forked = {} if self._hopeless(slot) else {self.fork(slot, predecessor=engine): slot}
                say({"node": self.node, "died": engine, "status": text, "forked": forked}, self.output)

    def _cause(self, code: int) -> str:
        """Return what an engine died of."""
        if code != -signal.SIGKILL:
            return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        before, self.oom_kills = self.oom_kills, oom_kills()
        return "out of memory: the kernel sent SIGKILL" if self.oom_kills > before else "signal SIGKILL"

    def _hopeless(self, slot: int) -> bool:
        """Tell whether the engines of a slot have died young several times in a row."""
        young = time.monotonic() < self.forked_at[slot] + YOUNG
        self.young_deaths[slot] = self.young_deaths[slot] + 1 if young else 0
        return self.young_deaths[slot] > YOUNG_DEATHS

    def kill(self, engine: int) -> None:
        """Kill one engine; `reap` replaces it."""
        for process, (living, slot) in self.living.items():
            if living == engine:
                self.young_deaths[slot] = -1  # this death says nothing about the engine
                end_trees([process])

    def _end_engines(self) -> list[int]:
        """End all engines, wait for their ends, and return their slots."""
        end_trees(list(self.living))  # they hold nothing that must be closed in order
        for process in self.living:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, 0)
        slots = [slot for _, slot in self.living.values()]
        self.living.clear()
        return slots

    def move(self, engine_info: dict[str, Any] | None) -> None:
        """End the engines, for their controller is gone; fork them anew when there is another."""
        self.homeless += self._end_engines()
        if engine_info is not None:
            self.engine_info, slots, self.homeless = engine_info, self.homeless, []
            say({"node": self.node, "forked": {self.fork(slot): slot for slot in slots}}, self.output)

    def stop(self) -> None:
        """End all engines, and remove what they used."""
        self._end_engines()
        self.prints.close()
        self.directories.close()
        for directory in filter(None, (self.profile, self.shared)):
            shutil.rmtree(directory, ignore_errors=True)

    def obey(self, message: dict[str, Any]) -> None:
        """Follow an order of the driver's."""
        if "kill" in message:
            self.kill(message["kill"])
        elif "engine" in message:
            self.move(message["engine"])
        elif "probe" in message:
            probe(message["probe"], self.node, self.output)
        elif "alive" in message:
            say({"alive": self.node}, self.output)
        elif "remove" in message:
            self.directories.remove(message["remove"])
        elif "room" in message:
            say({"node": self.node, "room": self.directories.room(), "asked": message["room"]}, self.output)


def watch(launcher: Launcher, inbox: LineReader) -> None:
    """Obey the driver and look after the engines until standard input ends."""
    wakeup, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the wake-up is not written
    launcher.reap()  # those that died before the handler stood
    while not inbox.ended:
        watched = [inbox.descriptor, wakeup, *launcher.prints.watched]
        ready = select.select(watched, [], [], launcher.prints.timeout)[0]
        launcher.prints.look()
        if wakeup in ready:
            os.read(wakeup, 4096)
            launcher.reap()
        while (message := inbox.read(0)) is not None:
            launcher.obey(message)


def _exit_once(*_: object) -> NoReturn:
    _ignore_signals()
    sys.exit(1)


def _ignore_signals() -> None:
    """Keep further signals from cutting the end short: Slurm sends one while the driver's end is obeyed."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)


def main() -> None:
    """Import, probe, fork, watch, stop."""
    node, modules = sys.argv[1] or os.environ["SLURMD_NODENAME"], sys.argv[2:]
    step = f"{os.environ.get('SLURM_JOB_ID')}.{os.environ.get('SLURM_STEP_ID')}"
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _exit_once)
    inbox, output = LineReader(0), claim_output()
    say({"here": node}, output)
    prober = threading.Thread(target=probe_first, args=(inbox, node, output))
    prober.start()
    began = time.monotonic()
    gc.disable()  # imports make no garbage, but are a tenth slower under the collector
    import_all([*IMPORTS, *modules])
    prober.join()
    if (order := inbox.read(None)) is None:
        return
    start = order["start"]
    if Path(start["directory"]).is_dir():
        os.chdir(start["directory"])
    adopt_orphans()
    launcher = Launcher(node, start, output)
    try:
        forked = {launcher.fork(slot): slot for slot in range(launcher.slots)}
        note = launcher.note or f"imported in {time.monotonic() - began:.1f} s on {socket.gethostname()}"
        data = {"directories": launcher.directories.paths, "step": step}
        say({"node": node, "forked": forked, "note": note, "data": data}, output)
        watch(launcher, inbox)
    finally:
        _ignore_signals()
        launcher.stop()


if __name__ == "__main__":
    main()
