"""Steps of the workers: one for each component of a job, and the advice where Slurm refuses all of them."""

from pathlib import Path
from types import SimpleNamespace

from hpcml.engines.nodes.steps import describe_refusal, python_module, worker_steps
from hpcml.engines.plan import Plan
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.commands import SLURM_FAILED
from hpcml.slurm.nodes import Node


def plan(nodes, het_groups):
    allocation = Allocation(7, nodes, "batch", launch_node="n1", het_groups=het_groups)
    return Plan(nodes=nodes, allocation=allocation, run_dir=Path("run"), environment={})


def test_a_step_for_each_component_names_its_group():
    nodes = (Node("n1", 1), Node("n2", 1, het_group=1), Node("n3", 1, het_group=1))
    steps = worker_steps(plan(nodes, 2), nodes, ["program"])
    assert [[node.name for node in members] for members, _ in steps] == [["n1"], ["n2", "n3"]]
    assert [command[1] for _, command in steps] == ["--het-group=0", "--het-group=1"]


def test_a_job_of_one_component_has_one_step_without_a_group():
    nodes = (Node("n1", 1), Node("n2", 1))
    ((members, command),) = worker_steps(plan(nodes, 1), nodes[1:], ["program"])
    assert members == nodes[1:]
    assert "--nodelist=n2" in command
    assert not any("het-group" in word for word in command)


def test_the_interpreter_does_not_import_from_the_working_directory():
    assert python_module(plan((), 1), "module")[-3:] == ["-P", "-m", "module"]


def test_the_advice_is_given_only_where_slurm_refused_every_step():
    refused, failed = SimpleNamespace(status=SLURM_FAILED), SimpleNamespace(status=1)
    assert "unset ${!SLURM_@}" in describe_refusal([refused, refused])
    assert describe_refusal([refused, failed]) == ""
