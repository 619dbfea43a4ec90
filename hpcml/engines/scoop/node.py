"""The program of the step, one on each node: imports once, forks the workers, and is their nanny.

``python -m hpcml.engines.scoop.node NODE MODULE…``, where an empty NODE stands for Slurm's name of it. It talks
with the launching process in JSON, one object a line::

    node -> origin    {"here": node}
    origin -> nodes   {"probe": {"addresses": [[address, port], …], "token": …}}
    node -> origin    {"node": …, "reached": {address: "" or what failed}}
    origin -> nodes   {"nodes": {name: {"slots": …, "cpus_per_slot": …, "cpus": …}}, "pool": …}
    node -> origin    {"node": …, "stream": 1 or 2, "text": …}      what the workers print
    node -> origin    {"node": …, "slot": …, "died": text}
    origin -> nodes   {"alive": true}, answered with                {"alive": node}

The end of standard input, or of this program, is the end of the workers. No thread is alive when one is forked.
"""

import contextlib
import gc
import importlib
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

from hpcml.engines.nodes.addresses import reach
from hpcml.engines.nodes.forked import default_signals
from hpcml.engines.nodes.memory import oom_kills
from hpcml.engines.nodes.messages import LineReader, claim_output, die_with_parent, say
from hpcml.engines.scoop.curve import KeyPair, read_keys, with_curve
from hpcml.engines.scoop.library import load
from hpcml.engines.scoop.output import Printed
from hpcml.engines.scoop.worker import run_worker
from hpcml.engines.worker import become_worker
from hpcml.errors import HpcmlError
from hpcml.slurm.slots import gpus_of_slot, slot_cpus

__all__ = ["KEY_FILE", "NodeWorkers", "main", "watch"]

KEY_FILE = "HPCML_SCOOP_KEY"  # the environment variable that holds the path of the run's key
GRACE = 1.0  # seconds in which workers end by themselves


class NodeWorkers:
    """The workers of one node."""

    def __init__(self, node: str, order: dict[str, Any], keys: KeyPair, output: int) -> None:
        share = order["nodes"][node]
        self.node = node
        self.slots = share["slots"]
        self._pool = order["pool"]
        self._keys = keys
        self._output = output
        self._cpus: list[set[int]] = []
        if "SLURM_STEP_ID" in os.environ:  # elsewhere these CPUs are not ours alone
            mask = os.sched_getaffinity(0)
            self._cpus, note = slot_cpus(mask, self.slots, share["cpus_per_slot"], share["cpus"])
            if note:
                print(f"hpcml: {node}: {note}", file=sys.stderr, flush=True)
        self.printed = [Printed(node, stream, output) for stream in (1, 2)]
        self._living: dict[int, int] = {}  # process id: slot
        self._oom_kills = oom_kills()

    def fork(self, slot: int) -> None:
        """Fork the worker of a slot."""
        launcher = os.getpid()
        process = os.fork()
        if process == 0:
            self._become_worker(slot, launcher)
        self._living[process] = slot

    def _become_worker(self, slot: int, launcher: int) -> NoReturn:
        """Turn this forked process into a worker; it ends with the process."""
        status = 1
        try:
            die_with_parent()
            if os.getppid() != launcher:
                os._exit(1)
            os.setpgid(0, 0)  # what a task starts ends with its worker
            default_signals()
            self._take_streams()
            if self._cpus:
                os.sched_setaffinity(0, self._cpus[slot])
            visible = gpus_of_slot(os.environ.get("CUDA_VISIBLE_DEVICES"), slot, self.slots)
            if visible is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = visible
            gc.freeze()  # keeps the collector from copying the pages shared with the launcher
            gc.enable()
            become_worker(self.node, slot)
            run_worker(self._pool, self.node, slot, self._keys)
            status = 0
        except SystemExit as leaving:  # by the script's top level, as it is loaded
            traceback.print_exception(leaving)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _take_streams(self) -> None:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for printed, stream in zip(self.printed, (1, 2), strict=True):
            os.dup2(printed.writer, stream)
        os.close(self._output)
        sys.stdout = sys.__stdout__ = _text(1)  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = _text(2)  # type: ignore[misc]

    def reap(self) -> None:
        """Report the workers that have ended."""
        while self._living:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            if process in self._living:
                for printed in self.printed:
                    printed.forward()
                cause = self._cause(os.waitstatus_to_exitcode(status))
                say({"node": self.node, "slot": self._living.pop(process), "died": cause}, self._output)

    def _cause(self, code: int) -> str:
        """Return what a worker ended with."""
        if code != -signal.SIGKILL:
            return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        before, self._oom_kills = self._oom_kills, oom_kills()
        return "out of memory: the kernel sent SIGKILL" if self._oom_kills > before else "signal SIGKILL"

    def stop(self, grace: float) -> None:
        """End all workers, those that have not done so after `grace` seconds by force."""
        deadline = time.monotonic() + grace
        while self._living and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.01)
        for process in self._living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)  # before it has a group
        for process in list(self._living):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, 0)
        self._living.clear()
        for printed in self.printed:
            printed.flush()


def _text(descriptor: int) -> Any:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def watch(workers: NodeWorkers, inbox: LineReader, output: int) -> None:
    """Look after the workers until standard input ends."""
    wakeup, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the wake-up is not written
    workers.reap()  # those that ended before the handler stood
    readers = [printed.reader for printed in workers.printed]
    while not inbox.ended:
        ready = select.select([inbox.descriptor, wakeup, *readers], [], [])[0]
        for printed in workers.printed:
            if printed.reader in ready:
                printed.forward()
        if wakeup in ready:
            os.read(wakeup, 4096)
            workers.reap()
        while (message := inbox.read(0)) is not None:
            if "alive" in message:
                say({"alive": workers.node}, output)


def _answer_probe(inbox: LineReader, node: str, output: int) -> None:
    """Wait for the addresses of the launching process and report which of them this node reaches."""
    message = inbox.read(None)
    if message is not None:
        offer = message["probe"]
        addresses = [(address, port) for address, port in offer["addresses"]]
        say({"node": node, "reached": reach(addresses, bytes.fromhex(offer["token"]))}, output)


def _import(modules: list[str]) -> None:
    """Import what the workers need; a module that is missing or broken here is the script's to complain about."""
    load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(module)


def _exit_once(*_: object) -> NoReturn:
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # Slurm repeats itself
    sys.exit(1)


def main() -> None:
    """Import, probe, fork, watch, stop; an error of hpcml's own is said without a traceback."""
    try:
        _main()
    except HpcmlError as error:
        sys.exit(f"hpcml: {error}")


def _main() -> None:
    node = sys.argv[1] or os.environ["SLURMD_NODENAME"]
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _exit_once)
    inbox, output = LineReader(0), claim_output()
    say({"here": node}, output)
    prober = threading.Thread(target=_answer_probe, args=(inbox, node, output), daemon=True)
    prober.start()
    gc.disable()  # imports make no garbage, but are a tenth slower under the collector
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a worker talks to any other
    with_curve()
    _import(sys.argv[2:])
    prober.join()
    order = inbox.read(None)
    if order is None:
        return
    if Path(order["pool"]["directory"]).is_dir():
        os.chdir(order["pool"]["directory"])
    workers = NodeWorkers(node, order, read_keys(Path(os.environ[KEY_FILE])), output)
    grace = 0.0
    try:
        for slot in range(workers.slots):
            workers.fork(slot)
        watch(workers, inbox, output)
        grace = GRACE
    finally:
        workers.stop(grace)


if __name__ == "__main__":
    main()
