"""From an allocation and options to the nodes and slots that are started."""

import pytest

from hpcml.engines.plan import make_nodes, preloads, script_imports
from hpcml.errors import AllocationError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.nodes import Node

UNEVEN = Allocation(5, (Node("n1", 28, 1, cpus=28), Node("n2", 3, 1, cpus=4)), "batch", launch_node="n1")


def slots(nodes):
    return {node.name: (node.slots, node.cpus_per_slot) for node in nodes}


def test_slots_are_slurms_per_node():
    assert slots(make_nodes(UNEVEN, 64, True)) == {"n1": (28, 1), "n2": (3, 1)}


def test_options_override_the_allocation():
    assert slots(make_nodes(UNEVEN, 64, True, slots_per_node=2)) == {
        "n1": (2, 1),
        "n2": (2, 1),
    }
    assert slots(make_nodes(UNEVEN, 64, True, cpus_per_slot=7)) == {"n1": (4, 7), "n2": (1, 7)}


def test_the_first_nodes_have_the_slots_that_are_wanted():
    for most, found in ((1, {"n1": (1, 1)}), (28, {"n1": (28, 1)}), (30, {"n1": (28, 1), "n2": (2, 1)})):
        assert slots(make_nodes(UNEVEN, 64, True, max_slots=most)) == found
    assert slots(make_nodes(UNEVEN, 64, True, max_slots=99)) == slots(make_nodes(UNEVEN, 64, True))
    assert slots(make_nodes(UNEVEN, 64, True, slots_per_node=2, max_slots=3)) == {"n1": (2, 1), "n2": (1, 1)}


def test_the_local_engine_takes_this_node_of_the_allocation():
    assert slots(make_nodes(UNEVEN, 64, False)) == {"n1": (28, 1)}


def test_without_slurm_the_cpus_of_this_computer():
    (node,) = make_nodes(None, 8, False)
    assert (node.slots, node.cpus_per_slot) == (8, 1)
    (node,) = make_nodes(None, 8, True, cpus_per_slot=3)
    assert (node.slots, node.cpus_per_slot) == (2, 3)


def test_a_script_started_many_times_is_refused():
    many = Allocation(5, (Node("n1", 4),), "step", step_id=2, task_rank=1, task_count=4)
    with pytest.raises(
        AllocationError, match=r"started this script 4 times \(step 5\.2\).*without srun before it"
    ):
        make_nodes(many, 4, True)


def test_preloads_are_the_numerical_libraries():
    seen = ["os", "sklearn.svm._base", "sklearn._config", "numpy.linalg.lapack_lite", "joblib.disk", "mine"]
    assert preloads(seen) == ("joblib", "numpy", "sklearn.svm")


def test_the_imports_of_the_script_are_preloaded():
    source = "import os, numpy.linalg\ndef f():\n    from sklearn import svm\n    from . import x\n"
    assert script_imports(source) == ["os", "numpy.linalg", "sklearn"]
    assert script_imports("not python at all") == []
