"""mpi4py.futures on this computer: one process that distributes, and `slots` that work."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Pool:
    def __init__(self, executor: Any, slots: int) -> None:
        self.executor = executor
        self.slots = slots

    def map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        """Map in chunks such as multiprocessing's, for by itself it sends each value alone."""
        chunk = -(-len(values) // (4 * self.slots))
        return list(self.executor.map(function, values, chunksize=chunk))


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Start this program again as mpi4py.futures wants it."""
    if "OMPI_COMM_WORLD_RANK" not in os.environ:
        words = ["--allow-run-as-root", "--oversubscribe", "-n", str(slots + 1)]
        os.execvp("mpiexec", ["mpiexec", *words, sys.executable, "-m", "mpi4py.futures", *sys.argv])
    from mpi4py.futures import MPIPoolExecutor  # MPI begins here

    with MPIPoolExecutor(slots) as executor:
        yield Pool(executor, slots)
