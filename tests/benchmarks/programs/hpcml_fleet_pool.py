"""hpcml from the login node: a Cluster that asks Slurm for three nodes."""

from collections.abc import Iterator
from contextlib import contextmanager

from hpcml_pool import Pool

import hpcml

NODES = 3


@contextmanager
def open_pool(slots: int) -> Iterator[Pool]:
    """Submit the job of the workers, and open them."""
    with hpcml.Cluster(nodes=NODES, ntasks_per_node=slots // NODES, time="10", progress=False) as cluster:
        yield Pool(cluster)
