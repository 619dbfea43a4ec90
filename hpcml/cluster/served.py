"""Clusters on ranks of MPI that the user has started: rank 0 has the session, the other ranks have served it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hpcml import engines
from hpcml.cluster.options import Options
from hpcml.cluster.session import Session

__all__ = ["RankServed", "ServedSession", "open_session"]


class RankServed(SystemExit):
    """Use of a Cluster on a rank that has served it: a ``with`` block of the Cluster ends, or else the rank."""


class ServedSession:
    """Session of a Cluster on another rank than the first, where its work is done."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def is_dispatching(self) -> bool:
        """Return False: there is no dispatcher."""
        return False

    def close(self, wait: bool = False) -> None:
        """Do nothing: rank 0 has closed the Cluster."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of pickle and copy, which ask
            raise AttributeError(name)
        raise RankServed(0)


def open_session(
    options: Options, program: Sequence[str] | None = None, wait: bool = True
) -> Session | ServedSession:
    """Open the session of a Cluster; with ``comm`` on rank 0, while the other ranks serve it.

    Parameters
    ----------
    program, wait
        See `hpcml.cluster.session.Session`.

    Raises
    ------
    HpcmlError
        The Cluster cannot be opened; of several ranks, rank 0 alone raises.
    """
    if options.comm is None:
        return Session(options, program, wait)
    if options.comm.size == 1:  # not started by mpirun
        return Session(replace(options, engine="local", comm=None), program, wait)
    ranks = engines.own_ranks().join_ranks(options.comm)
    if ranks is None:
        return ServedSession(options)
    # Content that no directory can hold for all hosts is sent with each task.
    has_place = ranks.is_on_one_host or options.data_dir is not None
    max_nbytes = options.max_nbytes if has_place else None
    try:
        return Session(replace(options, engine="mpi", comm=ranks, max_nbytes=max_nbytes), program, wait)
    except BaseException:
        ranks.close()
        raise
