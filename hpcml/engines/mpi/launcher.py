"""Program of the MPI step, one on each node: forks the relay, imports once, forks the workers, replaces the dead.

``python -m hpcml.engines.mpi.launcher NODE MODULE…``, where an empty NODE stands for Slurm's name of the node; see
`message_types` for the messages. The relay alone is in MPI, in place of the task that Slurm has started.
"""

import faulthandler
import gc
import os
import shutil
import socket
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcml.data.staging.directories import DataDirectories
from hpcml.data.staging.files import use_directories
from hpcml.engines.channel import serve
from hpcml.engines.descendants import adopt_orphans, end_orphans, end_trees, halt
from hpcml.engines.mpi.message_types import StartOrder
from hpcml.engines.mpi.network import tcp_variables
from hpcml.engines.mpi.relay_process import RelayProcess
from hpcml.engines.nodes.forked import ForkedWorkers
from hpcml.engines.nodes.messages import LineReader, claim_output, send_message
from hpcml.engines.nodes.prints import NodePrints
from hpcml.engines.nodes.program import end_on_signals, hold_end_signals, ignore_end_signals, import_modules, watch
from hpcml.engines.nodes.stopped import StoppedWorkers
from hpcml.engines.worker import become_worker, run_frame
from hpcml.slurm.slots import slot_cpus

__all__ = ["Launcher", "main"]

YOUNG_SECONDS = 5.0  # a worker that dies younger has hardly run a task
YOUNG_DEATHS = 5  # so many in a row, and the slot is given up
OF_MPI = ("PMI_", "PMIX_", "PMI2_", "OMPI_")


class Launcher:
    """The relay and the workers of one node, and the data directories there."""

    def __init__(self, node: str, order: StartOrder, output: int) -> None:
        self.node = node
        self._order = order
        self._output = output
        self._generations = [order["generation"]] * order["nodes"][node]["slots"]
        self._young_deaths = [0] * len(self._generations)
        self._early: list[dict[str, Any]] = []  # orders before the start
        self._forked_at = [0.0] * len(self._generations)
        os.environ.update(tcp_variables([name for name in order["nodes"] if name != node], os.environ))
        self._relay = RelayProcess(
            {
                "node": node,
                "hub": order["hub"],
                "firsts": {name: share["first"] for name, share in order["nodes"].items()},
                "keys": order["keys"],
                "has_pmix": "PMIX_RANK" in os.environ,
            },
            output,
        )
        # A task that uses MPI itself must not take the relay's place.
        for name in [name for name in os.environ if name.startswith(OF_MPI)]:
            del os.environ[name]

    def wait_for_relay(self, inbox: LineReader) -> None:
        """Wait until MPI has started: a step that MPI ends before, by SIGKILL, has made no directories yet."""
        while not self._relay.is_ready and not inbox.ended:
            wait([inbox.descriptor, self._relay.fileno()], 1.0)
            self._relay.forward()
            while (message := inbox.read(0)) is not None:
                self._early.append(message)

    def start(self) -> None:
        """Fork the workers, and report the data directories."""
        share = self._order["nodes"][self.node]
        data = self._order["data"]
        cpus, note = slot_cpus(os.sched_getaffinity(0), share["slots"], share["cpus_per_slot"], share["cpus"])
        self._workers = ForkedWorkers(share["slots"], cpus, self._output, os.environ)
        self._stopped = StoppedWorkers()
        self._prints = NodePrints(self.node, share["slots"], self._output)
        hold_end_signals()
        self.directories = DataDirectories(data["name"], data["places"], again=self._order["generation"] > 0)
        end_on_signals()
        for slot in range(share["slots"]):
            self._fork(slot)
        step = f"{os.environ.get('SLURM_JOB_ID')}.{os.environ.get('SLURM_STEP_ID')}"
        found = {"directories": self.directories.paths, "step": step}
        send_message({"node": self.node, "data": found, "note": note, "gpus": self._workers.gpus}, self._output)
        for message in self._early:
            self.handle(message)

    def _fork(self, slot: int) -> None:
        """Fork the next worker of a slot, and give its socket to the relay."""
        own, other = socket.socketpair()
        self._generations[slot] += 1
        self._forked_at[slot] = time.monotonic()
        with own, other:
            self._workers.fork(slot, lambda: self._run_worker(slot, other, own))
            self._relay.send({"forked": slot, "generation": self._generations[slot]}, own.fileno())

    def _run_worker(self, slot: int, connection: socket.socket, other: socket.socket) -> int:
        """Run the worker of a slot in this forked process; return the exit status."""
        other.close()
        self._relay.release()
        become_worker(self.node, slot, self._prints.streams(slot))
        use_directories(self.directories.paths)
        if "numpy.random" in sys.modules:  # all would draw the same; `random` seeds itself after a fork
            sys.modules["numpy.random"].seed()
        sys.modules["__main__"] = ModuleType("__main__")  # this program's own names are not for tasks
        faulthandler.enable(2)  # a crash shows where
        serve(connection, run_frame)
        return 0

    def reap(self) -> None:
        """Report the workers that have ended, and fork those that follow them."""
        for slot, cause in self._workers.reap():
            end_orphans({*self._workers.living, self._relay.process})
            self._prints.drain(slot)
            print(f"hpcml: the worker of slot {slot} ended: {cause}", file=sys.stderr, flush=True)
            generation = self._generations[slot]
            self._relay.send({"died": slot, "generation": generation, "status": f"ended: {cause}"})
            number = self._order["nodes"][self.node]["first"] + slot
            send_message({"node": self.node, "died": [number, generation]}, self._output)
            young = time.monotonic() < self._forked_at[slot] + YOUNG_SECONDS
            self._young_deaths[slot] = self._young_deaths[slot] + 1 if young else 0
            if self._young_deaths[slot] <= YOUNG_DEATHS:
                self._fork(slot)
            else:
                send_message({"node": self.node, "given_up": slot}, self._output)

    def kill(self, slot: int, generation: int) -> None:
        """Kill a worker, unless it has been replaced."""
        for process, own in self._workers.living.items():
            if own == slot and self._generations[slot] == generation:
                self._young_deaths[slot] = -1  # a death by order is no sign of a broken slot
                end_trees([process])

    def stop(self, together: bool) -> None:
        """End the relay and all workers, and remove their directories; see `RelayProcess.close`.

        A relay that is killed comes last: Slurm may kill the whole step for that.
        """
        if together:
            self._relay.close(together)
        if hasattr(self, "directories"):
            halt(self._workers.living)
            self.directories.close()  # first, for Slurm kills a program that takes too long to end
            end_trees(list(self._workers.living))
            self._workers.wait()
            self._prints.close()
        if shared := self._order["data"]["shared"]:
            shutil.rmtree(shared, ignore_errors=True)
        if not together:
            self._relay.close(together)
        self._relay.wait()

    # -- for `watch` ---------------------------------------------------------------------------------------------
    @property
    def watched(self) -> list[int]:
        """See `hpcml.engines.nodes.program.Supervisor`."""
        return [*self._prints.watched, self._relay.fileno()]

    @property
    def timeout(self) -> float | None:
        """See `hpcml.engines.nodes.program.Supervisor`."""
        return min(self._prints.timeout or self._stopped.timeout, self._stopped.timeout)

    def forward_prints(self) -> None:
        """Send the prints of the workers, and the messages of the relay, to the driver."""
        self._prints.look()
        self._relay.forward()
        for process in self._stopped.find(self._workers.living):
            send_message({"node": self.node, "stopped": self._workers.living[process]}, self._output)
            end_trees([process])

    def handle(self, message: dict[str, Any]) -> None:
        """Follow an order of the driver."""
        if "kill" in message:
            node, slot, generation = message["kill"]
            if node == self.node:
                self.kill(slot, generation)
        elif "bind" in message and self.node == self._order["hub"]:
            self._relay.send({"bind": message["bind"]})
        elif "alive" in message:
            send_message({"alive": self.node}, self._output)
        elif "remove" in message:
            self.directories.remove(message["remove"])
        elif "room" in message:
            room = self.directories.free_bytes()
            send_message({"node": self.node, "room": room, "asked": message["room"]}, self._output)


def main() -> None:
    """Fork the relay, import, fork the workers, watch, stop."""
    node = sys.argv[1] or os.environ["SLURMD_NODENAME"]
    end_on_signals()
    inbox = LineReader(0)
    output = claim_output()
    send_message({"here": node}, output)
    order = inbox.read(None)
    if order is None:
        return
    start: StartOrder = order["start"]
    if Path(start["directory"]).is_dir():
        os.chdir(start["directory"])
    launcher = Launcher(node, start, output)
    is_ordered = False
    try:
        gc.disable()  # imports make no garbage, but are a tenth slower under the collector
        import_modules(sys.argv[2:])
        adopt_orphans()
        launcher.wait_for_relay(inbox)
        launcher.start()
        watch(launcher, inbox)
        is_ordered = True
    finally:
        ignore_end_signals()
        launcher.stop(together=is_ordered)


if __name__ == "__main__":
    main()
