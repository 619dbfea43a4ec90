"""dask as `srun dask worker --nthreads 1` starts it by default, and as dask-jobqueue does: a nanny per worker."""

from collections.abc import Iterator
from contextlib import contextmanager

import dask_pool


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[dask_pool.Pool]:
    """Open `slots` workers, each under a nanny of its own."""
    with dask_pool.open_pool(slots, bare, options=("--nthreads=1",)) as pool:
        yield pool
