"""Copies of the environment on nodes: the place, and the command that starts from there."""

import os
import sys
from pathlib import Path

import pytest

from hpcml.engines.nodes.staged_python import choose_place, places, staged
from hpcml.engines.nodes.steps import FIRST_THERE, python_module
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError
from hpcml.slurm.process import run


def test_a_disk_comes_before_memory_and_names_are_plain():
    assert places({}) == ("/tmp", "/dev/shm")
    assert places({"TMPDIR": "/has space", "SLURM_TMPDIR": "/local/7"}) == ("/local/7", "/tmp", "/dev/shm")


def test_the_first_place_with_room_on_all_nodes_is_taken():
    room = {"n1": [900_000, 5_000_000], "n2": [100, 4_000_000]}
    assert choose_place(1_000, ["/tmp", "/dev/shm"], room) == 0
    assert choose_place(1_000_000, ["/tmp", "/dev/shm"], room) == 1


def test_the_error_names_the_node_with_the_least_room_of_each_place():
    with pytest.raises(EngineError) as error:
        choose_place(10**10, ["/tmp", "/dev/shm"], {"n1": [-1, 5_000_000], "n2": [9_000_000, 4_000_000]})
    assert str(error.value) == (
        "22,000 MB are needed on each node, and n1: /tmp cannot be used; n2: /dev/shm has 4,096 MB"
    )


def plan(**more):
    return Plan(nodes=(), allocation=None, run_dir=Path("run"), environment={}, **more)


def test_without_nodes_of_an_allocation_the_plan_stays():
    asked = plan(stage_env=True)
    with staged(asked) as found:
        assert found is asked


def test_a_copy_that_is_gone_is_replaced_by_the_original(tmp_path):
    assert python_module(plan(), "m")[0] == sys.executable
    command = python_module(plan(staged_python=str(tmp_path / "python")), "m")
    assert command[:5] == ["sh", "-c", FIRST_THERE, sys.executable, str(tmp_path / "python")]
    words = ["sh", "-c", FIRST_THERE, "echo", str(tmp_path / "python"), "-P", "-m", "m"]
    assert run(words) == "-P -m m\n"
    os.symlink("/usr/bin/printf", tmp_path / "python")
    assert run([*words[:5], "%s", "copy"]) == "copy"
