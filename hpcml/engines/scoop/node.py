"""Program of the step, one on each node: imports once, forks the workers, and reports their ends.

``python -m hpcml.engines.scoop.node NODE MODULE…``, where an empty NODE stands for Slurm's name of the node; see
`message_types` for the messages. The end of standard input, or of this program, is the end of the workers.
"""

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, cast

from hpcml.engines.libraries import check_encryption
from hpcml.engines.nodes.curve import KeyPair, read_keys
from hpcml.engines.nodes.forked import ForkedWorkers
from hpcml.engines.nodes.messages import send_message
from hpcml.engines.nodes.program import ignore_end_signals, import_modules, introduce, watch
from hpcml.engines.scoop.library import load
from hpcml.engines.scoop.message_types import StartOrder
from hpcml.engines.scoop.output import Printed
from hpcml.engines.scoop.worker import run_worker
from hpcml.engines.worker import become_worker
from hpcml.errors import HpcmlError
from hpcml.slurm.slots import slot_cpus

__all__ = ["KEY_FILE", "NodeWorkers", "main"]

KEY_FILE = "HPCML_SCOOP_KEY"  # the environment variable that holds the path of the run's key
GRACE_SECONDS = 1.0  # in which workers end by themselves


class NodeWorkers:
    """The workers of one node."""

    def __init__(self, node: str, order: StartOrder, keys: KeyPair, output: int) -> None:
        share = order["nodes"][node]
        self.node = node
        self.slots = share["slots"]
        self._pool = order["pool"]
        self._keys = keys
        self._output = output
        cpus: list[set[int]] = []
        if "SLURM_STEP_ID" in os.environ:  # elsewhere these CPUs are not ours alone
            mask = os.sched_getaffinity(0)
            cpus, note = slot_cpus(mask, self.slots, share["cpus_per_slot"], share["cpus"])
            if note:
                print(f"hpcml: {node}: {note}", file=sys.stderr, flush=True)
        self._workers = ForkedWorkers(self.slots, cpus, output, os.environ)
        if 0 < self._workers.gpus < self.slots:
            text = f"hpcml: {node}: {self.slots} workers share {self._workers.gpus} GPUs"
            print(text, file=sys.stderr, flush=True)
        self._printed = [Printed(node, stream, output) for stream in (1, 2)]

    def fork(self, slot: int) -> None:
        """Fork the worker of a slot."""
        self._workers.fork(slot, lambda: self._run_worker(slot))

    def _run_worker(self, slot: int) -> int:
        """Run the worker of `slot` in this forked process; return the exit status."""
        self._take_streams()
        try:
            become_worker(self.node, slot)
            run_worker(self._pool, self.node, slot, self._keys)
        except BaseException:  # SystemExit included: by the script's top level, as it is loaded
            # In one piece: the lines of another worker, which fails alike, must not come between.
            sys.stderr.write(traceback.format_exc())
            return 1
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
        return 0

    def _take_streams(self) -> None:
        """Make the pipes of the node this worker's standard output and error."""
        for printed, stream in zip(self._printed, (1, 2), strict=True):
            os.dup2(printed.writer, stream)
        sys.stdout = sys.__stdout__ = _text(1)  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = _text(2)  # type: ignore[misc]

    def reap(self) -> None:
        """Report the workers that have ended."""
        for slot, cause in self._workers.reap():
            self.forward_prints()
            send_message({"node": self.node, "slot": slot, "died": cause}, self._output)

    def stop(self, grace: float) -> None:
        """End all workers, those that have not done so after `grace` seconds by force."""
        deadline = time.monotonic() + grace
        while self._workers.living and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.01)
        for process in self._workers.living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)  # before it has a group
        self._workers.wait()
        for printed in self._printed:
            printed.flush()

    # -- for `watch` ---------------------------------------------------------------------------------------------
    timeout = None

    @property
    def watched(self) -> list[int]:
        """See `hpcml.engines.nodes.program.Supervisor`."""
        return [printed.reader for printed in self._printed]

    def forward_prints(self) -> None:
        """Send the prints of the workers to the script's process."""
        for printed in self._printed:
            printed.forward()

    def handle(self, message: dict[str, Any]) -> None:
        """Answer the question whether this node is alive."""
        if "alive" in message:
            send_message({"alive": self.node}, self._output)


def _text(descriptor: int) -> Any:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _prepare(modules: list[str]) -> None:
    """Raise the limit on open files (a worker may connect to each other one), and import the workers' modules."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    check_encryption("scoop")
    load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_modules(modules)


def main() -> None:
    """Import, probe, fork, watch, stop; an error of hpcml's own is printed without a traceback."""
    try:
        _main()
    except HpcmlError as error:
        sys.exit(f"hpcml: {error}")


def _main() -> None:
    node = sys.argv[1] or os.environ["SLURMD_NODENAME"]
    inbox, output = introduce(node, lambda: _prepare(sys.argv[2:]))
    message = inbox.read(None)
    if message is None:
        return
    order = cast(StartOrder, message)
    if Path(order["pool"]["directory"]).is_dir():
        os.chdir(order["pool"]["directory"])
    workers = NodeWorkers(node, order, read_keys(Path(os.environ[KEY_FILE])), output)
    grace = 0.0
    try:
        for slot in range(workers.slots):
            workers.fork(slot)
        watch(workers, inbox)
        grace = GRACE_SECONDS
    finally:
        ignore_end_signals()
        workers.stop(grace)


if __name__ == "__main__":
    main()
