"""Job files of ``hpcml submit``, from a command line and the site's defaults."""

import pytest

from hpcml.commands.jobs.submit import job_script, own_options, submit_program
from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.options import SbatchOption, split_words
from hpcml.slurm.jobs.site import Site

SBATCH = {f"--{name}": SbatchOption(name) for name in ("nodes", "time", "partition", "chdir", "signal", "wrap")}


@pytest.fixture(autouse=True)
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my search.py").touch()


def file_of(*words, site=None):
    return job_script(split_words(words, SBATCH | own_options()), site or Site(), "/env/bin/python")


def test_options_of_sbatch_and_of_run_are_told_apart():
    made = file_of(
        "my search.py", "--nodes", "2", "--engine", "local", "--resume", "--depth", "3", "--module", "a"
    )
    assert made.options == {"job-name": "my search", "nodes": "2"}
    assert made.command == (
        *("/env/bin/python", "-m", "hpcml", "run", "--engine", "local", "--resume"),
        *("my search.py", "--depth", "3"),
    )
    assert made.modules == ("a",)


def test_the_command_line_wins_over_the_site():
    site = Site({"partition": "main", "time": "60"}, ("python/3",), "setup.sh")
    made = file_of("my search.py", "--time=5", site=site)
    assert (made.options["partition"], made.options["time"], made.modules) == ("main", "5", ("python/3",))
    assert made.setup is not None
    assert made.setup.endswith("/setup.sh")


def test_a_requeued_job_gets_its_signal_in_time():
    assert file_of("my search.py", "--requeue").options.items() >= {
        ("requeue", None),
        ("open-mode", "append"),
        ("signal", "B:USR1@60"),
    }
    assert "--requeue" in file_of("my search.py", "--requeue").command
    assert file_of("my search.py", "--requeue", "--signal=B:TERM@9").options["signal"] == "B:TERM@9"


def test_a_script_for_another_directory_has_its_whole_path(tmp_path):
    assert file_of("my search.py", "--chdir", "/").command[-1] == str(tmp_path / "my search.py")


def test_a_job_in_a_container_is_prepared_by_modules_and_a_file(tmp_path):
    (tmp_path / "my $(image).sif").touch()
    words = ("--container", "my $(image).sif", "--module", "apptainer/1.3", "--setup", "my setup.sh")
    lines = file_of("my search.py", *words).text().splitlines()
    assert lines[-3:] == [
        "module load apptainer/1.3",
        f"source '{tmp_path}/my setup.sh'",
        "exec /env/bin/python -m hpcml run --container 'my $(image).sif' 'my search.py'",
    ]
    assert f"{tmp_path}/my $(image).sif" in file_of("my search.py", *words, "--chdir=/").command
    registry = file_of("my search.py", "--container=docker://python:3.12", "--chdir=/")
    assert registry.command[4:6] == ("--container", "docker://python:3.12")


def test_the_options_of_staging_and_of_pyxis_are_those_of_hpcml_run():
    image = ("--container-image", "nvcr.io#nvidia/pytorch:24.01-py3")
    assert file_of("my search.py", "--stage-env", *image).command[3:-1] == ("run", "--stage-env", *image)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to run"),
        (["gone.py"], "there is no script gone.py"),
        (["-"], "no standard input"),
        (["--", "-m"], "-m needs a word"),
        (["my search.py", "--wrap=x"], "--wrap has no place"),
        (["my search.py", "--container=gone.sif"], "there is no image gone.sif"),
    ],
)
def test_mistakes(words, message):
    with pytest.raises(HpcmlError, match=message):
        file_of(*words)


def test_help_needs_no_slurm(capsys):
    assert submit_program(["--help"], {"PATH": "/nowhere"}) == 0
    assert "--dry-run" in capsys.readouterr().out
    with pytest.raises(HpcmlError, match="no Slurm"):
        submit_program(["my search.py"], {"PATH": "/nowhere"})
