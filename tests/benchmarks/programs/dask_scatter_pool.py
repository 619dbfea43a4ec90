"""dask as in `dask_pool`, with the data named to it: `scatter` sends it to every worker before the first task."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dask_pool
from joblib import parallel_config


class Pool(dask_pool.Pool):
    def joblib(self, *data: Any) -> AbstractContextManager[Any]:
        return parallel_config("dask", scatter=list(data))


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Open `slots` workers on the nodes of this allocation."""
    with dask_pool.open_pool(slots, bare) as pool:
        yield Pool(pool.client)
