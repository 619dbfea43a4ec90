"""Calls of an array, claimed by its elements one stretch after the other; each call belongs to one element.

::

    claims/0  "0 4 71 70_1"    calls 0 to 3 belong to job 71, which is element 1 of array 70
    claims/4  "4 9 72 70_2"    the next claim begins where the one before ends: link(2) decides who makes it

No lock is needed, which not every network file system has, and an element that dies leaves none. An element that
was requeued finds its own claims.
"""

import os
from pathlib import Path
from typing import NamedTuple

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import read_private, temporary_path, write_new

__all__ = ["Claim", "Claims"]

MAX_TRIES = 1000  # of one element for one claim; each failure is a claim of another element


class Claim(NamedTuple):
    """Calls from `start` up to `stop`, of the job `owner`, which is the element `element` of its array."""

    start: int
    stop: int
    owner: str
    element: str


class Claims:
    """The claims in a directory, for calls 0 to ``total - 1``.

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.cluster.jobs.claims import Claims
    >>> with tempfile.TemporaryDirectory() as place:
    ...     claims = Claims(Path(place), 5)
    ...     [claims.take(2, owner, "5_1")[:2] for owner in ("71", "72")], len(claims.read())
    ([(0, 2), (2, 4)], 2)
    """

    def __init__(self, directory: Path, total: int) -> None:
        self._directory = directory
        self._total = total
        self._known: list[Claim] = []

    @property
    def next(self) -> int:
        """First call that no known claim has."""
        return self._known[-1].stop if self._known else 0

    def read(self) -> list[Claim]:
        """Return all claims, in order."""
        while self.next < self._total and (claim := self._read(self.next)) is not None:
            self._known.append(claim)
        return self._known

    def take(self, count: int, owner: str, element: str) -> Claim | None:
        """Claim the next `count` calls, or as many as are left, and return the claim; None where none is left.

        Raises
        ------
        HpcmlError
            Other elements have made each claim first.
        """
        for _ in range(MAX_TRIES):
            self.read()
            start = self.next
            if start >= self._total:
                return None
            claim = Claim(start, min(start + count, self._total), owner, element)
            if self._make(claim):
                self._known.append(claim)
                return claim
        raise HpcmlError(f"no call can be claimed in {self._directory}: others have been first {MAX_TRIES} times")

    def _read(self, start: int) -> Claim | None:
        path = self._directory / str(start)
        if not path.exists():
            return None
        first, stop, owner, element = read_private(path).decode().split(" ")
        return Claim(int(first), int(stop), owner, element)

    def _make(self, claim: Claim) -> bool:
        """Make the file of a claim, and return True; False where another element has made it.

        Over NFS the answer to link(2) can be lost, and the repeated request fails: the number of links decides.
        """
        path = self._directory / str(claim.start)
        temporary = temporary_path(path)
        write_new(temporary, " ".join(map(str, claim)).encode())
        try:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return temporary.stat().st_nlink == 2
            return True
        finally:
            temporary.unlink()
