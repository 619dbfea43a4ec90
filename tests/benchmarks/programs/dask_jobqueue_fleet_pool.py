"""dask from the login node: dask-jobqueue's SLURMCluster, whose jobs have one node each, without dashboards."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dask_jobqueue import SLURMCluster
from dask_pool import Pool
from distributed import Client
from step import START_TIMEOUT, own_address

NODES = 3


@contextmanager
def open_pool(slots: int) -> Iterator[Pool]:
    """Submit the jobs of the workers, and wait for all."""
    per_node = slots // NODES
    scheduler = {"dashboard_address": None, "host": own_address()}
    with SLURMCluster(cores=per_node, processes=per_node, memory="3GB", walltime="00:10:00", python=sys.executable,
                      worker_extra_args=["--no-dashboard"], scheduler_options=scheduler) as cluster:
        cluster.scale(jobs=NODES)
        with Client(cluster) as client:
            client.wait_for_workers(slots, timeout=START_TIMEOUT)
            yield Pool(client)
