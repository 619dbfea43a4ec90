"""Messages about GPUs that workers share, or that Slurm gives to no step."""

from pathlib import Path

from hpcml.engines.nodes.granted import await_grant, gpu_warnings
from hpcml.engines.nodes.steps import worker_steps
from hpcml.engines.plan import Plan
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.gpus import GpuGroup, JobGpus
from hpcml.slurm.nodes import Node

NODES = (Node("n1", 2), Node("n2", 2), Node("n3", 1))


def plan(gpus=None, environment=None):
    allocation = Allocation(7, NODES, "batch", launch_node="n1")
    return Plan(NODES, allocation, Path("run"), environment or {}, gpus=JobGpus(gpus or {}))


def test_as_many_gpus_as_workers_are_not_worth_a_word():
    held = {name: (GpuGroup("", 2, "0-1"),) for name in ("n1", "n2")}
    assert gpu_warnings(plan(held), {"n1": 2, "n2": 2, "n3": 0}) == []
    assert gpu_warnings(plan(), {"n1": 0, "n2": 0, "n3": 0}) == []


def test_nodes_that_share_alike_are_named_together():
    (text,) = gpu_warnings(plan(), {"n1": 1, "n2": 1, "n3": 1})
    assert text == (
        "n[1-2]: 2 workers share 1 GPU. For one each: --ntasks-per-node=1 and more --cpus-per-task, or "
        "Cluster(slots_per_node=1)"
    )


def test_gpus_that_no_step_gets_are_named_with_the_option_that_gives_them():
    held = {"n1": (GpuGroup("a100", 2, "0-1"), GpuGroup("v100", 1, "4")), "n3": (GpuGroup("a100", 1, "0"),)}
    (text,) = gpu_warnings(plan(held), {"n1": 2, "n3": 1})  # n2 has not come
    assert text.startswith("n1: the workers use 2 of the job's GPUs, 2 a100 (0-1), 1 v100 (4), ")
    assert text.endswith(" --gres=gpu:a100:2,gpu:v100:1")
    (text,) = gpu_warnings(plan({"n3": (GpuGroup("", 4),)}), {"n3": 0})
    assert text.startswith("n3: the workers use none of the job's GPUs, 4, ")
    assert text.endswith(" --gres=gpu:4")


def test_a_plan_stays_where_slurm_does_not_answer(tmp_path):
    assert await_grant(plan(environment={"PATH": str(tmp_path)})) == plan(environment={"PATH": str(tmp_path)})


def test_steps_ask_for_the_gpus_that_all_of_their_nodes_have():
    held = {name: (GpuGroup("", count),) for name, count in (("n1", 4), ("n2", 2), ("n3", 2))}
    asking = Plan(NODES, plan().allocation, Path("run"), {}, gpus=JobGpus(held, dict.fromkeys(held, 2)))
    ((_, command),) = worker_steps(asking, NODES, ["program"])
    assert command[-2:] == ["--gres=gpu:2", "program"]
