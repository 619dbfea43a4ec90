"""Program of the worker step, one on each node: imports once, forks the engines, and replaces those that die.

``python -m hpcml.engines.ipyparallel.launcher NODE MODULE…``, where an empty NODE stands for Slurm's name of
the node; see `message_types` for the messages. As the parent of its engines the launcher sees a death at once, and
forks a replacement, which first reports the death to the hub with the message that ipyparallel's own nanny sends.
Those nannies (one process of 41 MB per engine) are off. zmq is first used in the engines.
"""

import os
import shutil
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, cast

from hpcml.data.staging.directories import DataDirectories
from hpcml.data.staging.files import use_directories
from hpcml.engines.communicator import become_rank
from hpcml.engines.descendants import adopt_orphans, end_orphans, end_trees, halt
from hpcml.engines.ipyparallel.engine import IMPORTS, run_engine
from hpcml.engines.ipyparallel.message_types import Connection, Order, StartOrder, WorldOrder
from hpcml.engines.nodes.forked import ForkedWorkers
from hpcml.engines.nodes.messages import send_message
from hpcml.engines.nodes.prints import NodePrints
from hpcml.engines.nodes.program import (
    answer_probe,
    end_on_signals,
    hold_end_signals,
    ignore_end_signals,
    import_modules,
    introduce,
    watch,
)
from hpcml.engines.nodes.rank_places import RankPlaces, take_place
from hpcml.engines.worker import become_worker
from hpcml.journal.private_files import own_directory
from hpcml.slurm.slots import slot_cpus

__all__ = ["Launcher", "main"]

YOUNG_SECONDS = 5.0  # an engine that dies younger has hardly run a task
YOUNG_DEATHS = 5  # so many in a row, and the slot is given up: more engines would only load its node


class Launcher:
    """The engines of one node, and the data directories there."""

    def __init__(self, node: str, order: StartOrder, output: int) -> None:
        share = order["nodes"][node]
        data = order["data"]
        generation = order.get("generation", 0)
        self.node = node
        self.slots = share["slots"]
        self._engine_info = order["engine"]
        self._first = share["first"]
        self._stride = order["stride"]
        mask = os.sched_getaffinity(0)
        cpus, self.note = slot_cpus(mask, self.slots, share["cpus_per_slot"], share["cpus"])
        self._output = output
        self._workers = ForkedWorkers(self.slots, cpus, output, os.environ)
        self.gpus = self._workers.gpus
        self.directories = DataDirectories(data["name"], data["places"], again=generation > 0)
        self._shared = data["shared"]
        self._profile = tempfile.mkdtemp(prefix="hpcml-")  # ipyparallel needs one; no file is written there
        self._engines: dict[int, int] = {}  # slot: the engine that was forked last
        self._waiting_slots: list[int] = []  # slots without an engine until there is another controller
        self._generation = [generation] * self.slots
        self._young_deaths = [0] * self.slots
        self._forked_at = [0.0] * self.slots
        self._prints = NodePrints(node, self.slots, output)
        self.are_ranks = order.get("ranks", False)
        self._world: WorldOrder | None = None
        self._places = RankPlaces("", 0, self._profile)

    def fork(self, slot: int, predecessor: int | None = None) -> int:
        """Fork an engine for `slot` and return its id; ids are never used twice."""
        engine = self._first + slot + self._generation[slot] * self._stride
        self._generation[slot] += 1
        self._engines[slot] = engine
        self._profile = own_directory(self._profile)
        self._forked_at[slot] = time.monotonic()
        self._workers.fork(slot, lambda: self._run_engine(slot, predecessor))
        return engine

    def _run_engine(self, slot: int, predecessor: int | None) -> int:
        """Run the engine of `slot` in this forked process; return the exit status."""
        with os.fdopen(os.dup(2), "w") as log:  # the standard streams will be the tasks'
            try:
                if self._world is not None:
                    place = self._places.places[slot]
                    become_rank(take_place(place, os.environ, self._world["size"], self._profile).COMM_WORLD)
                    self._places.close(kept=place)
                become_worker(self.node, slot, self._prints.streams(slot))
                use_directories(self.directories.paths)
                if "numpy.random" in sys.modules:  # all would draw the same; `random` seeds itself after a fork
                    sys.modules["numpy.random"].seed()
                engine = self._engines[slot]
                run_engine(self._engine_info, engine, predecessor, self._profile, log=log, environment=os.environ)
            except BaseException:
                traceback.print_exc(file=log)
                return 1
        return 0

    def reap(self) -> None:
        """Report the engines that have died and fork their replacements."""
        for slot, cause in self._workers.reap():
            engine = self._engines[slot]
            end_orphans(self._workers.living)
            self._prints.drain(slot)
            print(f"hpcml: engine {engine} (slot {slot}) ended: {cause}", file=sys.stderr, flush=True)
            if self.are_ranks:  # the others end with it, and the driver orders another world
                send_message({"node": self.node, "died": engine, "status": cause, "forked": {}}, self._output)
                continue
            hopeless = self._count_young_deaths(slot) > YOUNG_DEATHS
            forked = {} if hopeless else {self.fork(slot, predecessor=engine): slot}
            send_message({"node": self.node, "died": engine, "status": cause, "forked": forked}, self._output)

    def _count_young_deaths(self, slot: int) -> int:
        """Return how many engines of a slot have died young in a row, the one that has just died included."""
        young = time.monotonic() < self._forked_at[slot] + YOUNG_SECONDS
        self._young_deaths[slot] = self._young_deaths[slot] + 1 if young else 0
        return self._young_deaths[slot]

    def kill(self, engine: int) -> None:
        """Kill one engine; `reap` replaces it."""
        for process, slot in self._workers.living.items():
            if self._engines[slot] == engine:
                self._young_deaths[slot] = -1  # a death by order is no sign of a broken slot
                end_trees([process])

    def _end_engines(self) -> list[int]:
        """End all engines, wait for their ends, and return their slots."""
        end_trees(list(self._workers.living))  # engines have nothing open that must be closed in order
        return self._workers.wait()

    def change_controller(self, engine_info: Connection | None) -> None:
        """End the engines, whose controller has ended (None); fork them again for another controller."""
        self._waiting_slots += self._end_engines()
        if engine_info is not None and self.are_ranks:
            self._engine_info = engine_info
        elif engine_info is not None:
            slots = self._waiting_slots
            self._waiting_slots = []
            self._engine_info = engine_info
            send_message({"node": self.node, "forked": {self.fork(slot): slot for slot in slots}}, self._output)

    def begin_world(self, world: WorldOrder) -> None:
        """End the engines; others are forked as ranks of MPI when the holders of their places have come."""
        self._end_engines()
        self._places.close()
        self._world = world
        self._places = RankPlaces(world["meeting"], self.slots, self._profile)

    def _fork_ranks(self) -> None:
        assert self._world is not None
        for slot in range(self.slots):
            self._generation[slot] = self._world["number"]
            self.fork(slot, predecessor=self._engines.get(slot))

    def stop(self) -> None:
        """End all engines, and remove their directories."""
        halt(self._workers.living)
        self.directories.close()  # first, for Slurm kills a program that takes too long to end
        self._end_engines()
        self._places.close()
        self._prints.close()
        for directory in filter(None, (self._profile, self._shared)):
            shutil.rmtree(directory, ignore_errors=True)

    # -- for `watch` ---------------------------------------------------------------------------------------------
    @property
    def watched(self) -> list[int]:
        """See `hpcml.engines.nodes.program.Supervisor`."""
        return [*self._prints.watched, *self._places.watched]

    @property
    def timeout(self) -> float | None:
        """See `hpcml.engines.nodes.program.Supervisor`."""
        return self._prints.timeout

    def forward_prints(self) -> None:
        """Send the prints of the engines to the driver; fork ranks that can be forked now."""
        self._prints.look()
        if self._places.look():
            self._fork_ranks()

    def handle(self, message: dict[str, Any]) -> None:
        """Follow an order of the driver."""
        order = cast(Order, message)
        if "kill" in order:
            self.kill(order["kill"])
        elif "engine" in order:
            self.change_controller(order["engine"])
        elif "world" in order:
            self.begin_world(order["world"])
            send_message({"alive": self.node}, self._output)
        elif "probe" in order:
            answer_probe(order["probe"], self.node, self._output)
        elif "alive" in order:
            send_message({"alive": self.node}, self._output)
        elif "remove" in order:
            self.directories.remove(order["remove"])
        elif "room" in order:
            send_message(
                {"node": self.node, "room": self.directories.free_bytes(), "asked": order["room"]}, self._output
            )


def _import(modules: list[str]) -> None:
    """Import modules for engines, but not debugpy: 0.2 s and 12 MB for a debugger that cannot be attached."""
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    import_modules([*IMPORTS, *modules])


def main() -> None:
    """Import, probe, fork, watch, stop."""
    node = sys.argv[1] or os.environ["SLURMD_NODENAME"]
    began = time.monotonic()
    inbox, output = introduce(node, lambda: _import(sys.argv[2:]))
    order = inbox.read(None)
    if order is None:
        return
    start: StartOrder = order["start"]
    if Path(start["directory"]).is_dir():
        os.chdir(start["directory"])
    adopt_orphans()
    hold_end_signals()
    launcher = Launcher(node, start, output)
    try:
        end_on_signals()
        forked = {} if launcher.are_ranks else {launcher.fork(slot): slot for slot in range(launcher.slots)}
        step = f"{os.environ.get('SLURM_JOB_ID')}.{os.environ.get('SLURM_STEP_ID')}"
        data = {"directories": launcher.directories.paths, "step": step}
        note = launcher.note or f"imported in {time.monotonic() - began:.1f} s on {socket.gethostname()}"
        send_message({"node": node, "forked": forked, "note": note, "gpus": launcher.gpus, "data": data}, output)
        watch(launcher, inbox)
    finally:
        ignore_end_signals()
        launcher.stop()


if __name__ == "__main__":
    main()
