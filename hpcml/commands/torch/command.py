"""``hpcml run --engine torch``: a program once for each slot, as the ranks of torch.distributed and its like.

In an allocation Slurm starts the ranks, in one step; without Slurm they are processes of this computer.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path

from hpcml.cluster.options import Options
from hpcml.commands.torch.end import RunEnd
from hpcml.commands.torch.nodes_left import advice, find_gone, nodes_left
from hpcml.commands.torch.output import SlowInbox
from hpcml.engines.plan import make_nodes
from hpcml.errors import CommandError, EngineError
from hpcml.interpreter import interpreter_options
from hpcml.journal.runs import new_run_dir
from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.commands import step_environment
from hpcml.slurm.gpus import JobGpus
from hpcml.slurm.hostlist import compress
from hpcml.slurm.node_wait import await_job
from hpcml.slurm.nodes import Node
from hpcml.slurm.ranks import training_step
from hpcml.training.ranks.launch import Launch, Ranks
from hpcml.training.ranks.place import Place
from hpcml.training.ranks.rank_end import RankEnd

__all__ = ["rank_commands", "refuse_options", "run_with_torch"]

MODULE = "hpcml.commands.torch.rank"
REFUSED = {
    "resume": "there is no journal. The script loads its own last checkpoint",
    "task_timeout": "there are no tasks. Give the job a time limit",
    "stage_env": "ranks are started from the environment of this command",
    "container": "start this command in the container on each node: srun apptainer exec image.sif hpcml run …",
    "container_image": "start this command in the container on each node: srun --container-image=… hpcml run …",
}


def refuse_options(arguments: argparse.Namespace, program: Sequence[str]) -> None:
    """Raise EngineError for an option, or a program, that ranks cannot have."""
    for name, reason in REFUSED.items():
        if getattr(arguments, name):
            raise EngineError(f"--{name.replace('_', '-')} does not go with --engine torch: {reason}")
    if program[0] == "-":
        raise EngineError("engine 'torch' runs a program on each slot, and standard input is there once: name one")


def rank_commands(
    nodes: Sequence[Node],
    allocation: Allocation | None,
    order: Mapping[str, object],
    inputs: Sequence[Path] = (),
    gpus: JobGpus | None = None,
) -> tuple[tuple[str, ...], ...]:
    """Return the command of the step of all ranks; without an allocation one command for each rank.

    `inputs` are pipes, and `gpus` those of the job: see `hpcml.slurm.ranks.training_step`.
    """
    if allocation is None:
        return tuple(_rank_command({**order, "place": asdict(place)}) for place in _local_places(nodes[0]))
    components: dict[int | None, list[str]] = {}
    for node in nodes:
        group = node.het_group if allocation.het_groups > 1 else None
        components.setdefault(group, []).extend([node.name] * node.slots)
    command = _rank_command({**order, "place": None})
    return (tuple(training_step(components, command, [str(path) for path in inputs], gpus)),)


def _rank_command(order: Mapping[str, object]) -> tuple[str, ...]:
    # -P: a file random.py in the working directory must not replace the library's module.
    return (sys.executable, "-P", "-m", MODULE, json.dumps(order))


def _local_places(node: Node) -> list[Place]:
    first = Place(0, node.slots, 0, node.slots, (node.name,), node.name, node.cpus_per_slot)
    return [replace(first, rank=rank, local_rank=rank) for rank in range(node.slots)]


def run_with_torch(
    arguments: argparse.Namespace, program: Sequence[str], environment: Mapping[str, str], cpus: int
) -> int:
    """Run a program as ranks; return the exit status of the first that fails, or 0.

    Parameters
    ----------
    cpus
        The CPUs of this computer that this process may use, for ranks without an allocation.

    Raises
    ------
    EngineError
        An option has no meaning here, or the ranks have not started, or have ended without a word.
    """
    refuse_options(arguments, program)
    inbox = SlowInbox()
    with RunEnd(environment, inbox, arguments.requeue) as end:
        return _Run(arguments, program, cpus, inbox, end).run()


class _Run:
    """Starts of the ranks of one program."""

    def __init__(
        self, arguments: argparse.Namespace, program: Sequence[str], cpus: int, inbox: SlowInbox, end: RunEnd
    ) -> None:
        environment = end.environment
        options = Options.from_arguments(vars(arguments))
        self._allocation = detect(environment)
        self._nodes = make_nodes(self._allocation, cpus, True, **options.of_slots)
        self._min_slots = options.min_slots
        self._environment = environment if self._allocation is None else step_environment(environment)
        label = self._allocation.label if self._allocation else "local"
        self._run_dir = new_run_dir(options.run_dir or Path(".hpcml"), label)
        self._log = self._run_dir / "ranks.log"
        self._timeout = options.timeout
        self._restarts: int = arguments.restarts
        self._is_quiet = not options.progress
        command = [sys.executable, *interpreter_options(sys.orig_argv), *program]
        self._order = {"program": command, "run": self._run_dir.name, "restarts": self._restarts}
        self._measure = None if arguments.measure is None else Path(arguments.measure)
        self._start_seconds = 0.0
        self._was_whole = False
        self._inbox = inbox
        self._end = end

    @property
    def _size(self) -> int:
        return sum(node.slots for node in self._nodes)

    def run(self) -> int:
        """Run the ranks, again after each failure for which a restart is left; return the exit status."""
        self._gpus = self._await_job()
        self._leave_out_gone()
        restart = 0
        while True:
            began = time.monotonic()
            try:
                failed, status, is_stopped = self._start(restart)
            except EngineError as error:
                if (self._was_whole and restart == self._restarts) or not self._leave_out_gone():
                    raise EngineError(f"{error}{advice(self._nodes, self._read_log())}") from None
                restart += self._was_whole  # a start without all ranks is none
                continue
            if is_stopped:
                return self._end.finish(failed.exit_status if failed else status)
            if failed is None:
                self._write_measures(time.monotonic() - began)
                return 0
            self._print(failed.describe(self._size))
            if restart == self._restarts:
                return failed.exit_status
            restart += 1
            self._leave_out_gone({failed.node} if failed.is_lost else set())
            self._print(f"restart {restart} of {self._restarts} of all ranks")

    def _leave_out_gone(self, gone: Set[str] = frozenset()) -> bool:
        """Leave out nodes that are gone, where the world may be smaller; return whether there were any."""
        if self._allocation is None or self._min_slots is None:
            return False
        gone |= find_gone(self._nodes, self._read_log(), self._environment)
        left = nodes_left(self._nodes, gone, self._min_slots)
        names = compress([node.name for node in self._nodes if node not in left])
        self._nodes = left
        if names:
            self._print(f"without {names}: {self._size} ranks, as --min-slots={self._min_slots} allows")
        return bool(names)

    def _read_log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _print(self, text: str) -> None:
        print(f"hpcml: {text}", file=sys.stderr, flush=True)

    def _await_job(self) -> JobGpus | None:
        """Wait until Slurm has switched on all nodes of the job; return the job's GPUs, None where it has none."""
        if self._allocation is None:
            return None
        try:
            names = [node.name for node in self._nodes]
            return await_job(self._allocation.exact_id, names, self._environment)
        except CommandError:  # srun will say why Slurm does not answer
            return None

    def _start(self, restart: int) -> tuple[RankEnd | None, int, bool]:
        """Run the ranks once; return the first failure, the exit status, and whether a signal stopped them."""
        groups = len({node.het_group for node in self._nodes})
        inputs = tuple(self._run_dir / f"input-{restart}-{number}" for number in range(1, groups))
        launch = Launch(
            commands=rank_commands(
                self._nodes, self._allocation, {**self._order, "restart": restart}, inputs, self._gpus
            ),
            inputs=inputs,
            environment=self._environment,
            log=self._log,
            timeout=self._timeout,
        )
        with Ranks(launch, self._inbox, _write) as ranks:
            began = time.monotonic()
            ranks.on_start = lambda: self._announce(time.monotonic() - began)
            self._inbox.is_read = True
            try:
                failed = ranks.run(lambda: self._end.watch(ranks), self._end.seconds_for)
            finally:
                self._inbox.is_read = False
                self._was_whole = ranks.present == self._size
            return failed, ranks.exit_status, ranks.is_stopped

    def _write_measures(self, seconds: float) -> None:
        """Write the times of the ranks, and the slots that they had, for `hpcml scaling`."""
        if self._measure is None:
            return
        found = {
            "seconds": seconds - self._start_seconds,
            "start": self._start_seconds,
            "tasks": self._size,
            "slots": self._size,
            "used_cpus": sum(node.slots * node.cpus_per_slot for node in self._nodes),
            "cpus": sum(node.cpus or node.slots * node.cpus_per_slot for node in self._nodes),
            "nodes": len(self._nodes),
        }
        self._measure.write_text(json.dumps(found))

    def _announce(self, seconds: float) -> None:
        self._start_seconds = seconds
        if self._is_quiet:
            return
        where = f"job {self._allocation.label}" if self._allocation else "this computer"
        names = [node.name for node in self._nodes]
        hosts = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        ranks = f"{self._size} rank" + ("s" if self._size != 1 else "")
        self._print(f"engine torch, {ranks} on {hosts} ({where}), started in {seconds:.1f} s")


def _write(number: int, data: bytes) -> None:
    """Write what a rank has written to its standard output or error to that of this process."""
    stream = sys.stdout if number == 1 else sys.stderr
    if stream is not None:
        stream.buffer.write(data)
        stream.flush()
