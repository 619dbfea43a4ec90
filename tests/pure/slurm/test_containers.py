"""Containers: the words before a program, srun's options, and the directories that a container shows."""

import os
import subprocess
import tempfile

import pytest

from hpcml.errors import HpcmlError
from hpcml.slurm.containers import Container, apptainer, mounts, own_container, pyxis


def test_the_words_of_apptainer():
    directories = ["/dev/shm", "/tmp", "/work/my dir", "/develop"]
    found = apptainer("apptainer", "ml.sif", directories, "/work/my dir", gpus=False, python="python3.12")
    assert found.command[3:-1] == (
        *("apptainer", "--bind", "/tmp", "--bind", "/work/my dir", "--bind", "/develop"),
        *("--pwd", "/work/my dir"),
    )
    assert found.command[-1].startswith("/")
    assert found.command[-1].endswith("/ml.sif")
    assert (found.python, found.step_options) == ("python3.12", ())


def test_gpus_and_images_of_registries():
    found = apptainer("singularity", "docker://python:3.12", [], "/", gpus=True)
    assert found.command[3:] == ("singularity", "--nv", "--pwd", "/", "docker://python:3.12")


def test_a_node_shows_those_directories_for_data_that_it_has():
    command = apptainer("echo", "docker://i", ["/work"], "/work", gpus=False).command
    words = "exec --bind /work --pwd /work docker://i"
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="my scratch") as scratch:
        cases = dict.fromkeys(["", "/gone", "/tmp", "/work"], words)
        cases[scratch] = f"exec --bind {scratch} --bind /work --pwd /work docker://i"
        for directory, wanted in cases.items():
            environment = {"PATH": os.environ["PATH"], "TMPDIR": directory, "SLURM_TMPDIR": directory}
            found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            assert (found.stdout, found.stderr) == (f"{wanted}\n", "")


def test_the_options_of_pyxis():
    found = pyxis("nvcr.io#nvidia/pytorch:24.01-py3", ["/tmp", "/work"], "/work/me")
    assert found.command == ()
    assert found.step_options == (
        "--container-image=nvcr.io#nvidia/pytorch:24.01-py3",
        "--container-mounts=/tmp:/tmp,/work:/work",
        "--container-workdir=/work/me",
    )


def test_a_directory_inside_another_is_shown_with_that(tmp_path):
    environment = {"TMPDIR": f"{tmp_path}", "SLURM_TMPDIR": "/gone"}
    found = mounts(environment, [f"{tmp_path}/below", "/home/me", "/home/me/project", "/home/medium"])
    wanted = ["/dev/shm", "/tmp", "/home/me", "/home/medium"]
    assert [one for one in found if one != str(tmp_path)] == wanted
    with pytest.raises(HpcmlError, match="a:b: its name has a colon"):
        mounts({}, ["/home/a:b"])


def test_this_process_is_in_no_container():
    assert own_container() is None
    fields = {"command": ["a", "b"], "step_options": [], "python": "p"}
    assert Container.from_json(fields) == Container(("a", "b"), (), "p")
