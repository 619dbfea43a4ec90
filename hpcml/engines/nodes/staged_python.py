"""Copy of the virtual environment on each node, held there by a step of its own until the workers have ended.

::

    holder -> driver     {"node": …, "holds": "job.step", "room": [KB free in each place, or -1]}
                         sbcast sends the archive to the first place that has room on all nodes
    driver -> holders    {"use": number of the place, from 0}
    holder -> driver     {"node": …, "unpacked": true}, or {"node": …, "failed": text}

The end of a holder's input is its order to remove the copy; see ``holder.sh``. A copy whose holder was killed is
removed by the next run of the same user (`hpcml.data.staging.directories`).
"""

import logging
import os
import queue
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from hpcml.data.staging.environment import this_python
from hpcml.data.staging.environment_cache import cache_directory, open_archive
from hpcml.data.staging.files import candidate_directories, directory_in
from hpcml.engines.nodes.steps import worker_steps
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError, HpcmlError
from hpcml.slurm.commands import sbcast, step_environment
from hpcml.slurm.process import Inbox, Program, run

__all__ = ["choose_place", "places", "staged"]

log = logging.getLogger("hpcml")

HOLDER = Path(__file__).with_name("holder.sh")
MAX_PLACES = 6  # the holder's shell has so many file descriptors for locks
MIN_BYTES_PER_SECOND = 1e7  # of a transfer, and of unpacking
SPACE = 2.2  # of the archive and its content, for each byte of the archive; a file takes whole blocks
STOP_SECONDS = 30.0  # for the removal of a copy


@contextmanager
def staged(plan: Plan) -> Iterator[Plan]:
    """Yield the plan with the Python of a copy of the environment that all nodes have until the end.

    The plan is yielded as it is where it asks for no copy, or has no allocation; and with a warning, where no copy
    can be made.
    """
    if not plan.stage_env or plan.allocation is None:
        yield plan
        return
    holders = _Holders(plan)
    try:
        yield replace(plan, staged_python=_stage(holders))
    finally:
        holders.stop()


def _stage(holders: "_Holders") -> str:
    """Return the path of the interpreter of the copies; "" where there are none, after a warning."""
    began = time.monotonic()
    try:
        python = this_python()
        if python is None:
            raise EngineError(
                f"{sys.executable} has no environment but the system's, which each node has. Make one: "
                "python3 -m venv .venv"
            )
        holders.start()
        file, is_new = open_archive(python, cache_directory(holders.plan.environment), holders.scratch)
        with file:
            place = holders.fill(file)
    except (HpcmlError, OSError) as error:
        holders.stop()
        if not holders.plan.unwanted.is_set():
            log.warning("the environment is not staged: %s\nWorkers start from %s", error, sys.prefix)
        return ""
    packed = "packed and sent" if is_new else "sent"
    log.info("%s %s to %s in %.1f s", packed, python.prefix, place, time.monotonic() - began)
    return os.path.join(place, python.in_archive)


def places(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the directories for copies of an environment, the best first: a disk, then memory.

    Examples
    --------
    >>> from hpcml.engines.nodes.staged_python import places
    >>> places({"SLURM_TMPDIR": "/local/7"})
    ('/local/7', '/tmp', '/dev/shm')
    """
    memory, *disks = candidate_directories(environment)
    plain = [place for place in (*disks, memory) if re.fullmatch(r"[\w./+=:@,-]+", place, re.ASCII)]
    return tuple(plain[-MAX_PLACES:])


def choose_place(nbytes: int, candidates: Sequence[str], room: Mapping[str, Sequence[int]]) -> int:
    """Return the index of the first place with room for an archive of `nbytes`, and its content, on all nodes.

    Parameters
    ----------
    room
        The KB that each node has free in each place; -1 where the place cannot be used.

    Raises
    ------
    EngineError
        No place has room; the message has the node with the least of each.
    """
    needed = nbytes * SPACE
    seen = []
    for index, place in enumerate(candidates):
        node = min(room, key=lambda name: room[name][index])
        free = room[node][index] * 1024
        if free >= needed:
            return index
        seen.append(f"{node}: {place} " + (f"has {free / 1e6:,.0f} MB" if free >= 0 else "cannot be used"))
    raise EngineError(f"{needed / 1e6:,.0f} MB are needed on each node, and " + "; ".join(seen))


class _Holders:
    """Steps of the holders: one, or one for each component of a heterogeneous job."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scratch = candidate_directories(plan.environment)
        self._places = places(plan.environment)
        self._name = f"{secrets.token_hex(8)}-env"  # without what a shell would read
        self._environment = step_environment(plan.environment)
        self._inbox: Inbox = queue.SimpleQueue()
        self._programs: list[Program] = []

    def start(self) -> None:
        """Start the steps."""
        words = [
            "sh",
            "-c",
            HOLDER.read_text(),
            "hpcml",
            os.path.basename(directory_in("", self._name)),
            *self._places,
        ]
        for _, command in worker_steps(self.plan, self.plan.nodes, words):
            log_file = self.plan.run_dir / "environment.log"
            self._programs.append(Program("environment", command, self._environment, self._inbox, log_file))

    def fill(self, archive: BinaryIO) -> str:
        """Send the archive to all nodes, have it unpacked there, and return the directory of the copies."""
        nbytes = os.fstat(archive.fileno()).st_size
        found = self._answers("holds", self.plan.timeout)
        room = {node: answer["room"] for node, answer in found.items()}
        index = choose_place(nbytes, self._places, room)
        place = directory_in(self._places[index], self._name)
        seconds = 60 + nbytes / MIN_BYTES_PER_SECOND
        for step in sorted({answer["holds"] for answer in found.values()}):
            words = sbcast(step, f"/proc/self/fd/{archive.fileno()}", f"{place}/archive", nbytes)
            run(words, self._environment, timeout=seconds, inherit=[archive.fileno()])
        for program in self._programs:
            program.send({"use": index})
        self._answers("unpacked", seconds)
        return place

    def _answers(self, wanted: str, seconds: float) -> dict[str, dict[str, Any]]:
        """Return the answer of each node."""
        deadline = time.monotonic() + seconds
        answers: dict[str, dict[str, Any]] = {}
        missing = {node.name for node in self.plan.nodes}
        while missing:
            left = deadline - time.monotonic()
            if left < 0 or self.plan.unwanted.is_set():
                raise EngineError(f"no answer of {', '.join(sorted(missing))} after {seconds:.0f} s")
            try:
                program, message = self._inbox.get(timeout=min(left, 0.5))
            except queue.Empty:
                continue
            if message is None:
                said = program.log_tail() if program is not None else ""
                raise EngineError(f"the step that holds it has ended; its log ends with\n{said}")
            if "failed" in message:
                raise EngineError(f"{message['node']}: {message['failed']}")
            if wanted in message:
                answers[message["node"]] = message
                missing.discard(message["node"])
        return answers

    def stop(self) -> None:
        """End the steps, which removes the copies."""
        for program in self._programs:
            program.close()
        for program in self._programs:
            program.stop(STOP_SECONDS)
        self._programs.clear()
