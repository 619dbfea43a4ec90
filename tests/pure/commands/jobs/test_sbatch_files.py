"""The files in sbatch/ are those that ``hpcml submit`` writes for the command in their comment."""

import shlex
from pathlib import Path

import pytest

from hpcml.commands.jobs.submit import job_script, own_options
from hpcml.slurm.jobs.options import SbatchOption, split_words
from hpcml.slurm.jobs.site import Site

ROOT = Path(__file__).parents[4]
OPTIONS = {
    "-J": "job-name",
    "-N": "nodes",
    "-t": "time",
    "-c": "cpus-per-task",
    "--ntasks-per-node": "ntasks-per-node",
    "--gpus-per-node": "gpus-per-node",
}
KNOWN = {word: SbatchOption(name) for word, name in OPTIONS.items()} | {
    "--job-name": SbatchOption("job-name"),
    "--no-kill": SbatchOption("no-kill", value="none"),
}


@pytest.mark.parametrize("path", sorted((ROOT / "sbatch").glob("*.sbatch")), ids=lambda path: path.stem)
def test_a_file_is_what_its_command_writes(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    programs = ("tutorials/01_grid_search/solution/start.py", "tutorials/original/evolution.py", "script.py")
    for program in (".venv/bin/hpcml", *programs):
        Path(program).parent.mkdir(parents=True, exist_ok=True)
        Path(program).touch()
    *lines, command = path.read_text().splitlines()
    (submit,) = [line for line in lines if line.startswith("# hpcml submit ")]
    words = shlex.split(submit)[3:]
    script = job_script(split_words(words, KNOWN | own_options()), Site(), ".venv/bin/python")
    *expected, expected_command = script.text().splitlines()
    assert [line for line in lines if not line.startswith("# ")] == expected
    # The program's arguments, or the program itself, come from the command line of sbatch.
    assert (
        command.replace("${@:?which script}", "script.py")
        .replace('"script.py"', "script.py")
        .removesuffix(' "$@"')
        == expected_command
    )
