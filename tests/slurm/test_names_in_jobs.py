"""Names with characters that a shell would interpret, in a job on Slurm."""

import json
from pathlib import Path

import pytest
from guarded_runs import PROGRAMS

HOSTILE = "-J x'\"\\\n#SBATCH -N9\n$(touch made-1)`touch made-2`;touch made-3&touch made-4|%j,{} é*"


@pytest.mark.release("22.05")
def test_names_with_shell_commands_execute_nothing(cluster):
    """The names of job, directory, script, arguments, the run's directory and a variable."""
    directory = cluster.shared_dir / HOSTILE
    directory.mkdir()
    script = directory / f"{HOSTILE}.py"
    script.write_bytes((PROGRAMS / "names.py").read_bytes())
    argv = ["salloc", "--quiet", "-J", HOSTILE, "-N3", "-n3", cluster.python, "-m", "hpcml", "run"]
    argv += ["--quiet", f"--run-dir={HOSTILE}", f"./{HOSTILE}.py", HOSTILE, "--export=NONE", "$(touch made-5)"]
    done = cluster.run(argv, env={"CHOSEN": HOSTILE}, cwd=directory)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["argv"][1:] == [HOSTILE, "--export=NONE", "$(touch made-5)"]
    assert Path(found["run_dir"]).parent == directory / HOSTILE
    assert found["job"] == HOSTILE
    assert found["seen"] == [[str(directory), HOSTILE]] * 12
    assert not [path for path in cluster.shared_dir.rglob("*") if path.name.startswith("made")]
    assert sorted(path.name for path in directory.iterdir()) == sorted([HOSTILE, script.name])
