"""Container of a run: from options, where the host has what it needs; the commands of programs in it."""

import sys
from pathlib import Path

import pytest

from hpcml.cluster.options import Options
from hpcml.engines.container import make_container, workers_container
from hpcml.engines.ipyparallel.commands import programs
from hpcml.engines.nodes.steps import idle_steps
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.containers import Container
from hpcml.slurm.nodes import Node

NODES = (Node("n1", 2, gpus=1), Node("n2", 2))
JOB = Allocation(7, NODES, "batch", launch_node="n1")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Environment of a host with the programs that are named, which print "--container-image"."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ml.sif").touch()

    def make(*names, says="--container-image"):
        for name in names:
            (tmp_path / name).write_text(f"#!/bin/sh\necho {says}\n")
            (tmp_path / name).chmod(0o755)
        return {"PATH": f"{tmp_path}"}

    return make


def test_apptainer_is_taken_before_singularity(host, tmp_path):
    environment = host("apptainer", "singularity")
    found = make_container(Options(container="ml.sif"), environment, JOB, ["/data"])
    assert found.command[3:] == (
        *("apptainer", "--nv", "--bind", "/tmp", "--bind", "/data"),
        *("--pwd", str(tmp_path), f"{tmp_path}/ml.sif"),
    )
    (tmp_path / "apptainer").unlink()
    found = make_container(Options(container="ml.sif"), environment, None, [])
    assert found.command[3:6] == ("singularity", "--bind", "/tmp")


def test_missing_parts_are_named(host):
    with pytest.raises(EngineError, match="neither apptainer nor singularity is on PATH"):
        make_container(Options(container="ml.sif"), host(), JOB, [])
    with pytest.raises(EngineError, match=r"there is no image gone.sif in /"):
        make_container(Options(container="gone.sif"), host("apptainer"), JOB, [])
    with pytest.raises(EngineError, match="this Slurm has no pyxis"):
        make_container(Options(container_image="x"), host("srun", says="--nodes"), JOB, [])
    with pytest.raises(EngineError, match="srun fails"):
        make_container(Options(container_image="y"), {"PATH": "/nowhere"}, JOB, [])


def test_workers_of_a_script_outside_need_its_release_of_python_and_a_job(host):
    found = workers_container(Options(container="ml.sif"), host("apptainer"), JOB, [])
    assert found.python == f"python3.{sys.version_info.minor}"
    assert workers_container(Options(), {}, JOB, []) is None
    with pytest.raises(EngineError, match="hpcml run --container ml.sif"):
        workers_container(Options(container="ml.sif"), host("apptainer"), None, [])


def plan(container):
    return Plan(nodes=NODES, allocation=JOB, run_dir=Path("run"), environment={}, container=container)


def test_programs_of_nodes_run_in_the_container_of_apptainer():
    contained = plan(Container(("apptainer", "exec", "/ml.sif"), (), "/usr/bin/python3"))
    controller, ((_, launcher),) = programs(contained)
    for command in (controller, launcher):
        place = command.index("apptainer")
        assert command[place : place + 4] == ["apptainer", "exec", "/ml.sif", "/usr/bin/python3"]


def test_steps_of_pyxis_have_its_options_but_not_those_that_hold_nodes_for_sbcast():
    contained = plan(Container((), ("--container-image=x",), "python3"))
    controller, ((_, launcher),) = programs(contained)
    for command in (controller, launcher):
        assert command[command.index("--container-image=x") + 1] == "python3"
    ((_, holder),) = idle_steps(contained, NODES)
    assert "--container-image=x" not in holder
