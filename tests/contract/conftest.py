"""One open Cluster for each engine, shared by the tests of a module."""

import pytest
from engines import ENGINES
from evolution import make_creator
from patience import patient
from scoop_runs import run, start, together  # noqa: F401  fixtures

import hpcml


@pytest.fixture(scope="module", params=ENGINES)
def cluster(request, tmp_path_factory):
    """Cluster of three slots; in a Slurm allocation, engine ipyparallel has the allocation's."""
    in_job = hpcml.detect(__import__("os").environ) is not None
    slots = None if in_job and request.param == "ipyparallel" else 3
    run_dir = tmp_path_factory.mktemp("run")
    options = {"run_dir": run_dir, "progress": False, "timeout": patient(60)}
    with hpcml.Cluster(request.param, slots_per_node=slots, **options) as opened:
        yield opened


@pytest.fixture
def creator_classes():
    """Make the classes of DEAP's creator that the evolutionary programs use."""
    make_creator()
