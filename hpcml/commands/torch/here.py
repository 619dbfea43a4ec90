"""``mpirun -n 4 hpcml run --engine torch script.py``: each of these processes becomes its rank.

The ranks find each other by `hpcml.training.rank_env`, in the interpreter that then runs the program.
"""

import argparse
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence

from hpcml.commands.ranks import count_ranks
from hpcml.errors import EngineError, HpcmlError
from hpcml.interpreter import interpreter_options, program_command, program_environment
from hpcml.slurm.allocation import detect
from hpcml.training import rank_env

__all__ = ["become_rank", "is_rank", "join_ranks"]

_OF_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_REFUSED = ("restarts", "requeue", "slots_per_node", "max_slots", "min_slots")


def is_rank(environment: Mapping[str, str]) -> bool:
    """Return whether mpirun, srun or torchrun has started this process as one of several ranks.

    Examples
    --------
    >>> from hpcml.commands.torch.here import is_rank
    >>> is_rank({"OMPI_COMM_WORLD_SIZE": "4"}), is_rank({"HOME": "/root"})
    (True, False)
    """
    if count_ranks(environment) > 1 or all(environment.get(name) for name in _OF_TORCHRUN):
        return True
    allocation = detect(environment)
    return allocation is not None and allocation.where == "step" and allocation.task_count > 1


def become_rank(arguments: argparse.Namespace, program: Sequence[str], environment: Mapping[str, str]) -> int:
    """Become the Python that runs a program as the rank that this process is; never return.

    Raises
    ------
    EngineError
        An option is for ranks that `hpcml run` itself starts.
    """
    for name in _REFUSED:
        if getattr(arguments, name):
            raise EngineError(
                f"--{name.replace('_', '-')} is for ranks that `hpcml run` starts, and these were started by "
                "mpirun, srun or torchrun: leave that out, or the option"
            )
    variables = program_environment(environment, interpreter_options(sys.orig_argv), {"rank": True})
    os.execve(sys.executable, program_command(sys.executable, sys.orig_argv, program), variables)


def join_ranks(environment: MutableMapping[str, str]) -> None:
    """Set the variables of this process' rank, before the program's first line; exit where it finds no others."""
    try:
        environment.update(rank_env())
        environment.setdefault("TORCHELASTIC_RESTART_COUNT", "0")
    except HpcmlError as error:
        print(f"hpcml: {error}", file=sys.stderr, flush=True)
        os._exit(1)
