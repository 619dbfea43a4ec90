"""dask within one allocation: the scheduler in the user's process, a worker per slot by one srun.

Of the documented ways this is the one that is ready first: no interpreter for the scheduler, no nanny beside
each worker, no dashboards. One thread per worker, for workers fill slots of one CPU.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from distributed import Client, LocalCluster
from joblib import parallel_config
from step import START_TIMEOUT, own_address, running

WORKER = "distributed.cli.dask_worker"
FASTEST = ("--nthreads=1", "--no-nanny", "--no-dashboard")


class Pool:
    def __init__(self, client: Client) -> None:
        self.client = client

    def each(self, function: Callable[[int], Any]) -> list[Any]:
        workers = list(self.client.scheduler_info(n_workers=-1)["workers"])
        futures = [self.client.submit(function, index, workers=[worker], pure=False)
                   for index, worker in enumerate(workers)]
        return self.client.gather(futures)

    def map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        return self.client.gather(self.client.map(function, values, pure=False))

    def joblib(self, *_: Any) -> AbstractContextManager[Any]:
        return parallel_config("dask")


@contextmanager
def open_pool(slots: int, bare: bool = False, options: tuple[str, ...] = FASTEST) -> Iterator[Pool]:
    """Open `slots` workers on the nodes of this allocation."""
    scheduler = LocalCluster(n_workers=0, host=own_address(), dashboard_address=None)
    worker = [sys.executable, "-m", WORKER, scheduler.scheduler_address, *options]
    with scheduler, running(["srun", f"--ntasks={slots}", *worker]), Client(scheduler) as client:
        client.wait_for_workers(slots, timeout=START_TIMEOUT)
        yield Pool(client)
