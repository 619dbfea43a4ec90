"""Variables of a rank, as torch.distributed, Lightning, accelerate and JAX read them."""

import contextlib
import os
import shlex
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from hpcml.errors import AllocationError
from hpcml.training.ranks.meeting import answer, ask
from hpcml.training.ranks.mpirun import place_of_mpirun, ranks_of_mpirun, send_to_all
from hpcml.training.ranks.network import held_address, interface_variables
from hpcml.training.ranks.place import Place, place_in_step, rank_threads

__all__ = ["rank_env", "started_ranks"]

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_OF_NODE = ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
_RUN = "TORCHELASTIC_RUN_ID"
_FILES = Path(".hpcml")


def rank_env(*, timeout: float = 300.0) -> dict[str, str]:
    """Return the variables with which this process joins the other ranks: those of torch's ``env://``.

    Each rank calls this once, at its start; all wait for each other. The first of these that is there decides:

    1. ``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT``, all four, as torchrun sets them: they stay;
    2. the ranks of mpirun, which need mpi4py;
    3. the step of srun, of any shape;
    4. one rank.

    Rank 0 holds the port until its process ends: another program cannot get it. Under srun the port is sent
    through files of mode 0600 below ``.hpcml`` in the working directory, which all nodes have to share.

    Parameters
    ----------
    timeout
        Seconds to wait for the other ranks of a step.

    Returns
    -------
    dict
        ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``LOCAL_WORLD_SIZE``, ``GROUP_RANK`` (the number of the node),
        ``MASTER_ADDR``, ``MASTER_PORT``, ``TORCHELASTIC_RUN_ID``; and, where they are not set,
        ``GLOO_SOCKET_IFNAME``, ``NCCL_SOCKET_IFNAME``, ``TP_SOCKET_IFNAME``, ``OMP_NUM_THREADS``,
        ``JAX_COORDINATOR_ADDRESS``.

    Raises
    ------
    AllocationError
        The job has several tasks, and srun has not started this program; or variables contradict each other.
    EngineError
        The ranks of mpirun cannot find each other.
    HpcmlError
        A rank did not call this in time.

    Examples
    --------
    Before ``torch.distributed.init_process_group()``, each rank calls ``os.environ.update(rank_env())``.

    >>> from hpcml.training import rank_env
    >>> variables = rank_env()  # of a process that nobody has started as a rank
    >>> variables["RANK"], variables["WORLD_SIZE"], variables["MASTER_ADDR"]
    ('0', '1', '127.0.0.1')
    """
    env, mask = dict(os.environ), frozenset(os.sched_getaffinity(0))
    is_complete = all(env.get(name) for name in _NEEDED)
    found, threads = _completed(env, mask) if is_complete else _found(env, mask, timeout)
    one_node = found.get("LOCAL_WORLD_SIZE") == found["WORLD_SIZE"]
    added = interface_variables(found["MASTER_ADDR"], one_node)
    added["JAX_COORDINATOR_ADDRESS"] = f"{found['MASTER_ADDR']}:{found['MASTER_PORT']}"
    if threads:
        added["OMP_NUM_THREADS"] = str(threads)
    return {**found, **{name: value for name, value in added.items() if not env.get(name)}}


def started_ranks() -> int:
    """Return how many ranks mpirun, or a launcher like torchrun, has started together with this process.

    Examples
    --------
    >>> from hpcml.training.ranks.environment import started_ranks
    >>> started_ranks()  # by neither
    0
    """
    world = os.environ.get("WORLD_SIZE", "")
    return max(ranks_of_mpirun(os.environ), int(world) if world.isdecimal() else 0)


def _found(env: Mapping[str, str], mask: Collection[int], timeout: float) -> tuple[dict[str, str], int]:
    """Return the variables of the place that mpirun, srun or nobody has given, and the rank's CPUs."""
    ranks = ranks_of_mpirun(env)
    if ranks > 1:
        place, comm = place_of_mpirun(ranks, mask)
        address = send_to_all(comm, lambda: _held_address(place, env))
    else:
        place = Place(threads=len(mask)) if ranks else place_in_step(env, mask, shlex.join(sys.orig_argv))
        address = _address_in_step(place, env, timeout)
    host, port = address.split(":")
    master = {"MASTER_ADDR": host, "MASTER_PORT": port, _RUN: place.key or address}
    return {**place.variables(), **master}, place.threads


def _address_in_step(place: Place, env: Mapping[str, str], timeout: float) -> str:
    if place.rank:
        return ask(_FILES, place.key, place.rank, timeout)
    address = _held_address(place, env)
    if place.size > 1:
        answer(_FILES, place.key, place.size, address, timeout)
    return address


def _held_address(place: Place, env: Mapping[str, str]) -> str:
    return held_address(place.peers(env), place.is_on_one_node)


def _completed(env: Mapping[str, str], mask: Collection[int]) -> tuple[dict[str, str], int]:
    """Return the given variables, with those of the node where they are known, and the rank's CPUs or 0."""
    given = {name: env[name] for name in (*_NEEDED, *_OF_NODE, _RUN) if env.get(name)}
    rank, size, host = env["RANK"], env["WORLD_SIZE"], env["MASTER_ADDR"]
    on_node: dict[str, str] = {}
    if host == "localhost" or host.startswith("127."):
        on_node = {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "GROUP_RANK": "0"}
    with contextlib.suppress(AllocationError):
        place = place_in_step(env, mask)
        if (str(place.rank), str(place.size)) == (rank, size):
            on_node = place.variables()
    found = {**on_node, _RUN: f"{host}:{env['MASTER_PORT']}", **given}
    local = found.get("LOCAL_WORLD_SIZE", "")
    return found, rank_threads(mask, int(local), None) if local.isdecimal() else 0
