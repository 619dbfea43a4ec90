"""Runs of a program, one after the other, on this computer or in the allocation that this process is in."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hpcml.commands.scaling.order import Order, printed_number
from hpcml.commands.scaling.study import Measured
from hpcml.errors import HpcmlError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.process import tail

__all__ = ["measured_from", "run_here"]

END_SECONDS = 30.0  # for an interrupted run


def run_here(
    order: Order, slots: int, repeat: int, allocation: Allocation | None, environment: Mapping[str, str]
) -> Measured:
    """Run the program on some of the slots of this allocation, or in as many processes of this computer.

    Raises
    ------
    HpcmlError
        The program has failed, or has run no task on the Cluster of `hpcml run`.
    """
    where = ["--max-slots", str(slots)]
    if allocation is None:
        where = ["--slots-per-node", str(slots), *(["--engine", "local"] if order.engine == "auto" else [])]
    options = [*where, *order.options, "--measure", str(order.measures(slots, repeat))]
    command = [sys.executable, "-m", "hpcml", "run", *options, *order.words(slots)]
    output = order.output(slots, repeat)
    began = time.monotonic()
    status = _run(command, environment, output)
    wall = time.monotonic() - began
    if status:
        raise HpcmlError(
            f"the run on {slots} slots ended with exit status {status}; its output, {output}, ends with\n"
            f"{tail(output.read_text(errors='replace'))}"
        )
    nodes = allocation.nodes if allocation is not None else ()
    measured = measured_from(order, slots, repeat, wall)
    return replace(
        measured,
        cpus=sum(node.cpus or node.slots * node.cpus_per_slot for node in nodes) or os.cpu_count() or 1,
        nodes=len(nodes) or 1,
        gpus=sum(node.gpus for node in nodes),
        job=allocation.label if allocation is not None else "",
    )


def _run(command: list[str], environment: Mapping[str, str], output: Path) -> int:
    """Run a command with its output in a file; return its exit status. It ends with this process."""
    with output.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            return process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise


def measured_from(order: Order, slots: int, repeat: int, wall: float) -> Measured:
    """Return the measures of a run that has ended.

    Raises
    ------
    HpcmlError
        The run had another number of slots, or no task on these, or has not printed its time. On one slot, joblib
        may run its calls itself.
    """
    path = order.measures(slots, repeat)
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise HpcmlError(f"the run on {slots} slots has not written {path}: {error}") from error
    if found["slots"] != slots:
        raise HpcmlError(f"the run on {slots} slots had {found['slots']}: name numbers that are there, --slots")
    if not found.pop("tasks") and slots > 1:
        raise HpcmlError(
            f"{order.title} has run no task on the Cluster that `hpcml run` opens, so its time does not depend on "
            "the slots: use joblib with n_jobs=-1, or hpcml.Cluster() without an engine"
        )
    output = order.output(slots, repeat).read_text(errors="replace")
    quality = printed_number(output, order.quality)
    if order.seconds is not None:
        seconds = printed_number(output, order.seconds)
        if seconds is None or not seconds > 0:
            raise HpcmlError(
                f"{order.title} on {slots} slots has printed no number above 0 where --seconds "
                f"{order.seconds.pattern!r} looks for it; its output is {order.output(slots, repeat)}"
            )
        found["seconds"] = seconds
    return Measured(repeat=repeat, wall=wall, quality=quality, **found)
