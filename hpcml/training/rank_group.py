"""Ranks that train together: those of a communicator of mpi4py, of torch.distributed, or one process alone."""

import contextlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hpcml.errors import HpcmlError
from hpcml.training.ranks.environment import started_ranks
from hpcml.training.ring import ring_sum

__all__ = ["Alone", "RankGroup", "group_of", "is_one_of_several"]


_PIECE = 1 << 30  # bytes: MPI's counts are of 32 bits


class RankGroup(ABC):
    """Ranks that call each method together; each method returns the same on all, where nothing else is said.

    A flat array is a contiguous one of numpy or a tensor of torch, with one dimension.
    """

    rank: int
    size: int

    @abstractmethod
    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""

    @abstractmethod
    def gather_numbers(self, numbers: Sequence[int]) -> list[list[int]]:
        """Return the numbers of all ranks, in less time than `gather`; so many on each, below 2**63."""

    @abstractmethod
    def sum_into(self, flat: Any) -> None:
        """Put the sum over the ranks into a flat array, always in the same order of additions."""

    @abstractmethod
    def copy_first(self, flat: Any) -> None:
        """Put the content of rank 0's flat array into those of the others."""

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
        """Return the value in a list."""
        return [value]

    def gather_numbers(self, numbers: Sequence[int]) -> list[list[int]]:
        """Return the numbers in a list."""
        return [list(numbers)]

    def sum_into(self, flat: Any) -> None:
        """Do nothing."""

    def copy_first(self, flat: Any) -> None:
        """Do nothing."""


class _MpiRanks(RankGroup):
    """Ranks of a communicator of mpi4py; tensors are on the CPU."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self.rank, self.size = comm.rank, comm.size

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        return list(self._comm.allgather(value))

    def gather_numbers(self, numbers: Sequence[int]) -> list[list[int]]:
        """Return the numbers of all ranks."""
        found = np.empty((self.size, len(numbers)), np.int64)
        self._comm.Allgather(np.array(numbers, np.int64), found)
        return [[int(number) for number in row] for row in found]

    def sum_into(self, flat: Any) -> None:
        """Put the sum over the ranks into a flat array."""
        ring_sum(self._comm, np.asarray(flat))

    def copy_first(self, flat: Any) -> None:
        """Put the content of rank 0's flat array into those of the others."""
        if hasattr(flat, "element_size"):  # numpy lacks some types of torch
            flat = flat.view(sys.modules["torch"].uint8).numpy()
        content = flat.view(np.uint8)
        for begin in range(0, len(content), _PIECE):
            self._comm.Bcast(content[begin : begin + _PIECE])


class _TorchRanks(RankGroup):
    """Ranks of a process group of torch.distributed."""

    def __init__(self, group: Any) -> None:
        import torch
        from torch import distributed

        self._torch = torch
        self._distributed = distributed
        self._group = group
        self._device = "cuda" if distributed.get_backend(group) == "nccl" else "cpu"  # on which messages are
        self.rank, self.size = distributed.get_rank(group), distributed.get_world_size(group)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        values: list[Any] = [None] * self.size
        self._distributed.all_gather_object(values, value, group=self._group)
        return values

    def gather_numbers(self, numbers: Sequence[int]) -> list[list[int]]:
        """Return the numbers of all ranks."""
        own = self._torch.tensor(numbers, dtype=self._torch.int64, device=self._device)
        found = [self._torch.empty_like(own) for _ in range(self.size)]
        self._distributed.all_gather(found, own, group=self._group)
        return [one.tolist() for one in found]

    def sum_into(self, flat: Any) -> None:
        """Put the sum over the ranks into a flat array."""
        self._on_device(flat, lambda tensor: self._distributed.all_reduce(tensor, group=self._group))

    def copy_first(self, flat: Any) -> None:
        """Put the content of rank 0's flat array into those of the others."""
        first = self._distributed.get_global_rank(self._group or self._distributed.group.WORLD, 0)
        self._on_device(flat, lambda tensor: self._distributed.broadcast(tensor, first, group=self._group))

    def _on_device(self, flat: Any, collective: Any) -> None:
        """Call a collective with a tensor of the content of `flat`, on the device of messages."""
        tensor = self._torch.from_numpy(flat) if isinstance(flat, np.ndarray) else flat
        if self._device == "cpu" or tensor.is_cuda:
            collective(tensor)
        else:
            there = tensor.to(self._device)
            collective(there)
            tensor.copy_(there)


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
    distributed: Any = sys.modules.get("torch.distributed")
    opened = distributed is not None and distributed.is_available() and distributed.is_initialized()
    if comm is None:
        return _TorchRanks(None) if opened else Alone()
    if hasattr(comm, "Sendrecv"):
        return _MpiRanks(comm) if comm.size > 1 else Alone()
    if opened and isinstance(comm, distributed.ProcessGroup):
        return _TorchRanks(comm)
    raise TypeError(
        f"comm={comm!r}: give a communicator of mpi4py, as comm_map gives one to its function, or a process group "
        "of torch.distributed"
    )


def is_one_of_several() -> bool:
    """Return whether MPI, mpirun or torchrun has made this process one of several ranks.

    A worker of a Cluster is none: it has variables of the step, or of mpirun, that started the Cluster.
    """
    MPI: Any = sys.modules.get("mpi4py.MPI")
    if MPI is not None and MPI.Is_initialized() and not MPI.Is_finalized() and MPI.COMM_WORLD.size > 1:
        return True
    worker: Any = sys.modules.get("hpcml.engines.worker")
    return started_ranks() > 1 and (worker is None or worker.current_worker() is None)
