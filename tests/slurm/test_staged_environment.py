"""Environment on the nodes' own disks: few opened files on the shared file system, the same results."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

import hpcml

pytestmark = pytest.mark.release("22.05")  # whose root has strace

PROGRAM = Path(__file__).parent / "programs" / "staged.py"
NOT_IMPORTED = ("debugpy", "jedi")  # of IPython's needs: thousands of files
NAME = re.compile(r"[A-Za-z0-9._-]+")


def needed(name, found):
    """Add the distributions that `name` needs to `found`."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        about = metadata.distribution(name)
        if about.name not in (*found, *NOT_IMPORTED):
            found[about.name] = about
            for line in about.requires or ():
                if "extra ==" not in line:
                    needed(NAME.match(line)[0], found)


def link_or_copy(source, target):
    """Make a file of the same content without the time of a copy, where both are on one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def make_environment(path):
    """Make a virtual environment with this library and what it needs, not in development."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    (site,) = path.glob("lib/python3*/site-packages")
    found = {}
    needed("hpcml", found)
    del found["hpcml"]
    for about in found.values():
        for file in about.files:
            source = Path(about.locate_file(file))
            if ".." not in file.parts and source.is_file():
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(source, site / file)
    shutil.copytree(Path(hpcml.__file__).parent, site / "hpcml")
    (path / "share/hpcml-test").mkdir(parents=True)
    (path / "share/hpcml-test/data.txt").write_text("found")
    return path


TRACED = """#!/bin/sh
# srun whose programs note the files that they open.
while case $1 in --*) true ;; *) false ;; esac; do
    options="$options $1"
    shift
done
trace='exec strace -f -q --seccomp-bpf -e trace=open,openat -o "$0-$SLURMD_NODENAME-$SLURM_STEP_ID" -- "$@"'
exec {srun} $options sh -c "$trace" {log} "$@"
"""


def shared_opens(directory, node, places):
    """Return the files on the shared file system that the programs of steps on `node` have opened."""
    found = []
    for log in directory.glob(f"opened-{node}-*"):
        found += re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)".*\) = \d+$', log.read_text(), re.M)
        log.unlink()
    return [path for path in found if path.startswith(tuple(f"{place}/" for place in places))]


def test_workers_start_from_the_nodes_own_copy(cluster):
    """The copy of a holder that was killed stays until the next run."""
    environment = make_environment(cluster.shared_dir / "env")
    (cluster.shared_dir / "helper_beside.py").touch()
    program = shutil.copy(PROGRAM, cluster.shared_dir)
    cache = cluster.shared_dir / "cache"
    places = (environment, os.path.realpath(sys.base_prefix), sys.base_prefix)

    (cluster.shared_dir / "bin").mkdir()
    cluster.write("bin/srun", TRACED.format(srun=shutil.which("srun"), log=cluster.shared_dir / "opened"))
    path = f"{cluster.shared_dir}/bin:{os.environ['PATH']}"
    variables = {"XDG_CACHE_HOME": str(cache), "TMPDIR": None, "PATH": path}

    def run(*words, options=(), nodes=("-N2", "-n4", "--nodelist=n1,n2")):
        """Run the program; return its tasks, the node whose holder it killed, and the files opened on n2."""
        command = [environment / "bin/python", "-m", "hpcml", "run", "--quiet", *options, program, *words]
        done = cluster.run(["salloc", "--quiet", *nodes, *command], env=variables, timeout=100)
        assert done.returncode == 0, done.stderr
        assert "not staged" not in done.stderr
        answer = json.loads(done.stdout)
        return answer["tasks"], answer["killed"], shared_opens(cluster.shared_dir, "n2", places)

    plain, _, opened = run()
    staged, killed, opened_staged = run("kill", options=["--stage-env"])
    assert len(opened) > 500
    assert len(opened_staged) <= 0.05 * len(opened), opened_staged
    assert {task["prefix"] for task in plain} == {str(environment)}
    (prefix,) = {task["prefix"] for task in staged}
    assert prefix.startswith("/tmp/hpcml-")
    assert {task["mode"] for task in staged} == {"0o700"}
    assert {task["node"] for task in staged} == {"n1", "n2"}
    for key in ("library", "versions", "data", "compiled", "module", "beside"):
        assert [task[key] for task in staged] == [task[key] for task in plain]
    files = {node: cluster.files(node, "/tmp") for node in cluster.nodes}
    left = {node: [name for name in names if name.endswith("-env")] for node, names in files.items()}
    assert [node for node, names in left.items() if names] == [killed]
    directory = cluster.seen_by(killed, f"/tmp/{left[killed][0]}")
    os.utime(directory, (time.time() - 100,) * 2)  # that of a run which begins now is not yet locked
    (archive,) = (cache / "hpcml/environments").glob("*.tar")
    assert archive.stat().st_mode & 0o777 == 0o600
    written = archive.stat().st_mtime_ns
    again, _, _ = run(options=["--stage-env"], nodes=["-N1", "-n2", f"--nodelist={killed}"])
    assert len(again) == len(plain)
    assert not any(name.startswith("hpcml-") for node in cluster.nodes for name in cluster.files(node, "/tmp"))
    (archive,) = (cache / "hpcml/environments").glob("*.tar")
    assert archive.stat().st_mtime_ns == written
