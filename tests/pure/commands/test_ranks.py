"""Ranks that mpirun has started `hpcml run` as."""

import importlib.util

import pytest

from hpcml.commands.ranks import check_ranks, count_ranks
from hpcml.errors import HpcmlError


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}, 4),
        ({"PMI_SIZE": "8", "PMI_RANK": "7", "SLURM_STEP_NUM_TASKS": "2"}, 8),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, 1),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}, 1),
        ({"PMI_SIZE": "?"}, 1),
    ],
)
def test_count_is_that_of_mpirun(environment, count):
    assert count_ranks(environment) == count


@pytest.mark.parametrize(
    ("engine", "container", "words"),
    [
        ("scoop", None, "engine 'scoop' starts its own workers: leave mpirun out, or --engine scoop"),
        ("mpi", "ml.sif", "mpirun -n 4 apptainer exec image.sif hpcml run script.py"),
    ],
)
def test_what_ranks_cannot_do_is_refused(engine, container, words):
    with pytest.raises(HpcmlError, match="started `hpcml run` 4 times") as caught:
        check_ranks(4, engine, container)
    assert words in str(caught.value)


def test_a_missing_mpi4py_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HpcmlError, match="-m pip install mpi4py"):
        check_ranks(4, "auto", None)
