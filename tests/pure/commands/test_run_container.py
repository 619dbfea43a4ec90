"""Command that starts a script in a container."""

import inspect
import json
import subprocess
import sys

import pytest

from hpcml.commands import image_start
from hpcml.commands.main import main, parser
from hpcml.commands.run_container import contained_command, job_variables, run_words
from hpcml.slurm.containers import Container

CHECK = inspect.getsource(image_start)


def test_the_options_and_the_program_stay_as_they_were_given():
    words = ["--engine=local", "--resume", "--quiet", "--timeout", "7", "--container", "ml.sif"]
    arguments = parser().parse_args(["run", *words, "my script.py", "--quiet", "-x"])
    assert run_words(arguments) == ["--engine=local", "--timeout=7.0", "--container=ml.sif", "--resume", "--quiet"]
    program = [arguments.script, *arguments.args]
    inside = {"relay": "/tmp/r"}
    command = contained_command(Container(("apptainer", "exec", "i")), inside, run_words(arguments), program, {})
    assert command[:7] == ["apptainer", "exec", "i", "python3", "-c", CHECK, "{}"]
    again = parser().parse_args(command[command.index("run") :])
    assert (again.inside, again.script, again.args) == (inside, "my script.py", ["--quiet", "-x"])
    assert (again.resume, again.progress, again.container) == (True, False, "ml.sif")


def test_the_python_of_the_image_gets_the_variables_of_the_job():
    code = "import os, sys; print(sys.argv[1:], sorted(name for name in os.environ if name[:5] == 'SLURM'))"
    job = json.dumps({"SLURM_NTASKS": "12"})
    environment = {"SLURM_STEP_ID": "1", "SLURM_JWT": "key"}
    command = [sys.executable, "-c", CHECK, job, "-c", code, "x y"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "['x y'] ['SLURM_JWT', 'SLURM_NTASKS']\n"
    assert job_variables({"SLURM_JOB_ID": "7", "SLURM_JWT": "key", "PATH": "/"}) == {"SLURM_JOB_ID": "7"}


def test_an_image_without_hpcml_is_told_how_to_have_it():
    command = [sys.executable, "-S", "-I", "-c", CHECK, "{}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("hpcml: this image has no hpcml in its ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--container", "gone.sif"], "there is no image gone.sif"),
        (["--container=a", "--container-image=b"], "give one of them"),
        (["--container=a", "--stage-env"], "for workers in no container"),
    ],
)
def test_mistakes_are_named(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").touch()
    assert main(["run", *words, "script.py"]) == 1
    assert message in capsys.readouterr().err
