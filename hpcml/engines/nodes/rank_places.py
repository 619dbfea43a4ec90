"""Places of ranks in MPI: processes that MPI's launcher has started hold them, forked engines take them.

::

    holder ── environment, PMI's connection ──> launcher of engines ── fork ──> engine: MPI.Init
    holder <── the connection's end ──┘

MPI knows a rank by variables, and by a connection (PMI 1 and 2), that its launcher gives to the processes that it
starts. Engines are forked from a process that has imported their modules once, so each takes the place of another
process, which sleeps. A dead rank has Slurm kill the sleepers; launchers of engines and their data live on.
"""

import contextlib
import json
import os
import socket
import struct
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from hpcml.engines.nodes.rank_start import start_mpi

__all__ = ["RankPlace", "RankPlaces", "take_place"]

READ_SECONDS = 10.0  # in which a holder sends its place
SHARED = "/dev/shm/"


class RankPlace(NamedTuple):
    """The place of a rank: its number, its variables, and the descriptor of its connection or -1."""

    rank: int
    variables: dict[str, str]
    descriptor: int


class RankPlaces:
    """Places of the ranks of one node, in the order of their ranks, as their holders send them.

    Parameters
    ----------
    meeting
        Name of the abstract socket that holders connect to; "" for no places.
    count
        Number of ranks on this node.
    directory
        Directory for notes of files that the ranks' libraries make; see `take_place`.
    """

    def __init__(self, meeting: str, count: int, directory: str) -> None:
        self._count = count
        self._directory = Path(directory)
        self.places: list[RankPlace] = []
        self._holders: list[socket.socket] = []
        self._listener: socket.socket | None = None
        if meeting:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._listener.bind(f"\0{meeting}")
            self._listener.listen(count)

    @property
    def watched(self) -> list[int]:
        """File descriptors that have something to read when holders have come."""
        return [] if self._listener is None else [self._listener.fileno()]

    def look(self) -> bool:
        """Take the places of holders that have come; return whether the last one has come now."""
        while self._listener is not None:
            try:
                holder, _ = self._listener.accept()
            except BlockingIOError:
                return False
            credentials = holder.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", credentials)[1] != os.getuid():
                holder.close()
                continue
            self._holders.append(holder)
            with contextlib.suppress(OSError):  # it has ended, which its launcher reports
                self.places.append(_read_place(holder))
            if len(self.places) == self._count:
                self.places.sort()
                self._listener.close()
                self._listener = None
                return True
        return False

    def close(self, kept: RankPlace | None = None) -> None:
        """Have the holders end; in a process that has taken the place `kept`, close what is the others'.

        Files of MPI that ranks which were killed have left are removed.
        """
        for note in self._directory.glob("*.shared") if kept is None else ():
            for path in note.read_text().splitlines():
                Path(path).unlink(missing_ok=True)
            note.unlink()
        for place in self.places:
            if place.descriptor >= 0 and place is not kept:
                os.close(place.descriptor)
        for one in (*self._holders, self._listener):
            if one is not None:
                one.close()
        self.places = []
        self._holders = []
        self._listener = None


def _read_place(holder: socket.socket) -> RankPlace:
    holder.settimeout(READ_SECONDS)
    head, descriptors, _, _ = socket.recv_fds(holder, 8, 1)
    content = b""
    while len(content) < int.from_bytes(head, "little"):
        block = holder.recv(1 << 16)
        if not block:
            raise OSError("the holder of a rank has ended")
        content += block
    place = json.loads(content)
    return RankPlace(place["rank"], place["variables"], descriptors[0] if descriptors else -1)


def take_place(place: RankPlace, environment: MutableMapping[str, str], size: int, directory: str) -> Any:
    """Start MPI in this process as the rank of `place`; return mpi4py's MPI.

    The variables are there during the start alone: programs that tasks start are no ranks. A note in `directory`
    has the files in memory that MPI's start has made: MPICH does not remove them when a rank is killed.

    Raises
    ------
    WrongWorld
        The world of MPI has not `size` ranks.
    """
    own = dict(environment)
    before = _shared_files()
    environment.clear()
    environment.update(place.variables)
    if place.descriptor >= 0:
        environment["PMI_FD"] = str(place.descriptor)
    try:
        return start_mpi(size, "PMIX_RANK" in place.variables, threads=True)
    finally:
        environment.clear()
        environment.update(own)
        with contextlib.suppress(OSError):
            Path(directory, f"{place.rank}.shared").write_text("\n".join(_shared_files() - before))


def _shared_files() -> set[str]:
    """Return the files in memory that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = (SHARED + line.partition(SHARED)[2] for line in lines if SHARED in line)
    return {path for path in paths if not path.endswith(" (deleted)")}
