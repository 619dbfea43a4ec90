"""End of a rank that has failed, in numbers and in words."""

import signal
from dataclasses import dataclass

from hpcml.slurm.process import tail

__all__ = ["RankEnd"]

SILENT_SECONDS = 20.0
"""Seconds after which a node is taken for lost; its heartbeat comes every 4 s."""


@dataclass(frozen=True)
class RankEnd:
    """End of a rank that has failed.

    Examples
    --------
    >>> from hpcml.training.ranks.rank_end import RankEnd
    >>> end = RankEnd(rank=2, node="n2", status=-9, errors="")
    >>> end.exit_status, end.cause
    (137, 'was ended by SIGKILL')
    """

    rank: int
    node: str
    status: int
    """Exit status; below 0 the negative number of the signal."""
    errors: str = ""
    """Last lines of the standard error of the rank."""
    was_short_of_memory: bool = False
    """The kernel has killed a process of the node for want of memory meanwhile."""
    is_lost: bool = False
    """Nothing has come from the node of the rank; the status is then 1."""

    @property
    def exit_status(self) -> int:
        """The exit status as a shell has it."""
        return self.status if self.status >= 0 else 128 - self.status

    @property
    def cause(self) -> str:
        """The end in words."""
        if self.is_lost:
            return f"is lost: nothing has come from that node for {SILENT_SECONDS:.0f} s"
        if self.status >= 0:
            return f"ended with exit status {self.status}"
        if self.was_short_of_memory:
            return "was ended by SIGKILL: the kernel has ended a process for want of memory. Ask for more: --mem=…"
        try:
            return f"was ended by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"was ended by signal {-self.status}"

    def describe(self, ranks: int) -> str:
        """Return the end, and the last lines of the rank, for a message."""
        found = f"rank {self.rank} of {ranks}, on {self.node}, {self.cause}"
        return f"{found}; its standard error ended with\n{tail(self.errors)}" if self.errors.strip() else found
