"""Job files: their text, and the words of the command line."""

import shlex

import pytest

from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.script import JobScript


def test_a_file_has_options_preparation_and_one_command():
    script = JobScript(
        {"nodes": "2", "requeue": None, "comment": 'a "b" \\ $(c)'},
        ("hpcml", "run", "it's $(here)\n.py"),
        modules=("python/3.11", "a b"),
        setup="/home/me/my setup.sh",
    )
    head, command = script.text().split("exec ")
    assert head.splitlines() == [
        "#!/bin/bash",
        "#SBATCH --nodes=2",
        "#SBATCH --requeue",
        '#SBATCH --comment="a \\"b\\" \\\\ $(c)"',
        "module load python/3.11",
        "module load 'a b'",
        "source '/home/me/my setup.sh'",
    ]
    assert shlex.split(command) == ["hpcml", "run", "it's $(here)\n.py"]
    assert script.option_words() == ["--nodes=2", "--requeue", '--comment=a "b" \\ $(c)']


@pytest.mark.parametrize("value", ["two\nlines", "x\r", "x\0y"])
def test_a_line_end_in_an_option_is_refused(value):
    with pytest.raises(HpcmlError, match="--comment="):
        JobScript({"comment": value}, ("true",)).text()
