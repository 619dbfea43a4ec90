"""JAX: a sum over the numbers that each process has."""

import os

import jax
from jax.experimental import multihost_utils

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(
    f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}",
    num_processes=int(os.environ["WORLD_SIZE"]),
    process_id=int(os.environ["RANK"]),
)
size = jax.process_count()
found = multihost_utils.process_allgather(jax.numpy.array([float(jax.process_index() + 1)]))
print("ranks", size, "error", float(abs(found.sum() - size * (size + 1) / 2)), flush=True)
