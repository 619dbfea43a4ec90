"""The ranks that train together: those of a communicator of mpi4py, of torch.distributed, or one process alone."""

import contextlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from hpcml.errors import HpcmlError
from hpcml.training.ring import ring_sum

__all__ = ["Alone", "RankGroup", "group_of"]


class RankGroup(ABC):
    """Ranks that call each method together; each method returns the same on all, where nothing else is said."""

    rank: int
    size: int

    @abstractmethod
    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""

    @abstractmethod
    def sum_into(self, flat: Any) -> None:
        """Put the sum over the ranks into a flat array, always in the same order of additions."""

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Run a block on all ranks; its error on one is raised on all at the end, as HpcmlError on the others."""
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
        errors = self.gather("" if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        for rank, text in enumerate(errors):
            if text:
                raise HpcmlError(f"rank {rank} of {self.size} failed: {text}")


class Alone(RankGroup):
    """One process alone.

    Examples
    --------
    >>> from hpcml.training.rank_group import Alone
    >>> Alone().gather("this")
    ['this']
    """

    rank, size = 0, 1

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def sum_into(self, flat: Any) -> None:
        pass


class _MpiRanks(RankGroup):
    """Ranks of a communicator of mpi4py, and arrays of numpy."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self.rank, self.size = comm.rank, comm.size

    def gather(self, value: Any) -> list[Any]:
        return list(self._comm.allgather(value))

    def sum_into(self, flat: Any) -> None:
        array = flat if isinstance(flat, np.ndarray) else flat.numpy()  # a tensor on the CPU
        ring_sum(self._comm, array)


class _TorchRanks(RankGroup):
    """Ranks of a process group of torch.distributed, and its tensors."""

    def __init__(self, group: Any) -> None:
        from torch import distributed

        self._torch = sys.modules["torch"]
        self._distributed = distributed
        self._group = group
        self.rank, self.size = distributed.get_rank(group), distributed.get_world_size(group)

    def gather(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.size
        self._distributed.all_gather_object(values, value, group=self._group)
        return values

    def sum_into(self, flat: Any) -> None:
        tensor = self._torch.from_numpy(flat) if isinstance(flat, np.ndarray) else flat
        self._distributed.all_reduce(tensor, group=self._group)


def group_of(comm: Any = None) -> RankGroup:
    """Return the ranks of a communicator of mpi4py or a process group of torch.distributed.

    Parameters
    ----------
    comm
        None stands for the default group of torch.distributed where that is open, else for this process alone.

    Raises
    ------
    TypeError
        `comm` is neither.
    """
    distributed = sys.modules.get("torch.distributed")
    opened = distributed is not None and distributed.is_available() and distributed.is_initialized()
    if isinstance(comm, RankGroup):
        return comm
    if comm is None:
        return _TorchRanks(None) if opened else Alone()
    if hasattr(comm, "Sendrecv"):
        return _MpiRanks(comm) if comm.size > 1 else Alone()
    if opened and isinstance(comm, distributed.ProcessGroup):  # type: ignore[union-attr]
        return _TorchRanks(comm)
    raise TypeError(
        f"comm={comm!r}: give a communicator of mpi4py, as comm_map gives one to its function, or a process group "
        "of torch.distributed"
    )
