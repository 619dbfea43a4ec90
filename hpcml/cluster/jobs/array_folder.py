"""Folder of an array of jobs: its calls, and the outcomes that its elements have written.

::

    plan         JSON: see `ArrayPlan`
    function     pickle of the function and of the script's state
    arguments    pickles of the arguments of all calls, one after the other
    offsets      where each of these begins, and where the last ends: 8 bytes each
    keys         a line for each call: equal calls have equal keys
    claims/      see `hpcml.cluster.jobs.claims`
    outcomes/    <start>-<stop>: outcomes of these calls, see `hpcml.data.outcomes.join_outcomes`
"""

import dataclasses
import json
import os
import pickle
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from hpcml.cluster.jobs.claims import Claim, Claims
from hpcml.cluster.jobs.folder import JobFolder
from hpcml.cluster.jobs.packing import PackedCalls
from hpcml.data.outcomes import Outcome, unpack_outcomes
from hpcml.data.packed import Packed, Referring
from hpcml.journal.private_files import open_private, read_private
from hpcml.journal.runs import versions

__all__ = ["ArrayFolder", "ArrayPlan"]

FORMAT = 1


@dataclass(frozen=True)
class ArrayPlan:
    """Plan of an array.

    Parameters
    ----------
    name
        Name of the function.
    calls, elements
        Number of calls, and of elements that share these.
    minutes
        An element claims no more calls after so many minutes.
    calls_per_element
        The most calls of one element; None: as many as the minutes allow.
    time_limit
        Minutes after which Slurm ends an element; None where that is not known.
    versions
        Of Python and the libraries that results depend on.
    """

    name: str
    calls: int
    elements: int
    minutes: float
    calls_per_element: int | None = None
    time_limit: float | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=versions)
    format: int = FORMAT

    @property
    def least(self) -> int:
        """Number of calls that an element claims however long they take: else its array would leave some."""
        return -(-self.calls // self.elements)


class ArrayFolder(JobFolder):
    """Folder of an array; see the head of this module."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.outcomes = path / "outcomes"
        self._read: set[str] = set()  # names of the files of outcomes that were read

    def write_calls(self, plan: ArrayPlan, packed: PackedCalls) -> None:
        """Write the calls of a new array."""
        self.make_directory("claims")
        self.make_directory("outcomes")
        self.write("function", pickle.dumps((packed.function, packed.state), pickle.HIGHEST_PROTOCOL))
        self.write("arguments", b"".join(packed.arguments))
        self.write("offsets", array("Q", accumulate(map(len, packed.arguments), initial=0)).tobytes())
        self.write("keys", "\n".join(packed.keys).encode())
        self.write_plan(plan)

    def write_plan(self, plan: ArrayPlan) -> None:
        """Write the plan, in the place of a former one."""
        self.write("plan", json.dumps(dataclasses.asdict(plan)).encode())

    def plan(self) -> ArrayPlan | None:
        """Return the plan of this array; None for another folder, or one of another version of hpcml."""
        content = self.read("plan")
        try:
            plan = None if content is None else ArrayPlan(**json.loads(content))
        except (ValueError, TypeError):
            return None
        return plan if plan is not None and plan.format == FORMAT else None

    def keys(self) -> list[str]:
        """Return the key of each call, "" for a call without one."""
        return (self.read("keys") or b"").decode().split("\n")

    def claims(self, total: int) -> Claims:
        """Return the claims on the calls, `total` in number."""
        return Claims(self.path / "claims", total)

    def function(self) -> tuple[Packed, bytes]:
        """Return the packed function, and the packed state of the script."""
        function, state = pickle.loads(self.read("function") or b"")
        return function, state

    def arguments(self, start: int, stop: int) -> list[Packed | Referring]:
        """Return the packed arguments of the calls from `start` up to `stop`."""
        self.check()
        offsets = array("Q", self._part("offsets", 8 * start, 8 * (stop + 1)))
        content = self._part("arguments", offsets[0], offsets[-1])
        ends = [offset - offsets[0] for offset in offsets]
        return [pickle.loads(content[ends[i] : ends[i + 1]]) for i in range(stop - start)]

    def _part(self, name: str, start: int, stop: int) -> bytes:
        descriptor = open_private(self.path / name, os.O_RDONLY)
        with open(descriptor, "rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def write_outcomes(self, claim: Claim, frame: bytes) -> None:
        """Write the outcomes of the calls of a claim."""
        self.write(f"outcomes/{claim.start}-{claim.stop}", frame)

    def has_outcomes(self, claim: Claim) -> bool:
        """Return whether the calls of a claim have run."""
        return (self.outcomes / f"{claim.start}-{claim.stop}").exists()

    def new_outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Yield the numbers and the outcomes of calls that have run since this was called last."""
        names = [entry.name for entry in os.scandir(self.outcomes) if not entry.name.startswith(".")]
        new = [name for name in names if name not in self._read]
        if new:
            self.check()
        for name in sorted(new, key=_start_of):
            frame = read_private(self.outcomes / name)
            self._read.add(name)
            yield from zip(_calls_of(name), (outcome for _, outcome in unpack_outcomes(frame)), strict=True)


def _start_of(name: str) -> int:
    return int(name.partition("-")[0])


def _calls_of(name: str) -> Sequence[int]:
    start, _, stop = name.partition("-")
    return range(int(start), int(stop))
