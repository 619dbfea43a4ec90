"""Script and workers in containers, by stand-ins for Apptainer and pyxis, neither of which a stable Debian has.

The stand-in for Apptainer runs a program in a mount namespace of its own, where Slurm's commands cannot be used.
Like Apptainer 1.4, it fails where a directory to show does not exist.
That for pyxis gives srun the options of containers, and has the other run the program.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from patience import wait_until

PROGRAM = Path(__file__).parent / "programs" / "contained.py"
REFUSED = 99
APPTAINER = """#!/bin/sh
echo "$SLURMD_NODENAME: $*" | head -n 1 >>{log}
shift
while :; do
    case $1 in
        --nv) shift ;;
        --bind) [ -e "$2" ] || {{ echo "FATAL: mount source $2 doesn't exist" >&2; exit 255; }}; shift 2 ;;
        --pwd) cd "$2" && shift 2 ;;
        *) break ;;
    esac
done
[ -e "$1" ] || {{ echo "FATAL: could not open image $1" >&2; exit 255; }}
export APPTAINER_CONTAINER="$1" PATH={python}:/usr/bin:/bin
shift
exec unshare --mount sh -c '
    for name in srun sbcast squeue scontrol; do mount --bind {refused} "$(command -v $name)"; done
    exec "$@"' sh "$@"
"""
PYXIS = """#!/bin/sh
[ "$1" != --help ] || {{ echo "      --container-image=[USER@][REGISTRY#]IMAGE[:TAG]|PATH"; exit; }}
image=
options=
while case $1 in --*) true ;; *) false ;; esac; do
    case $1 in
        --container-image=*) image=${{1#*=}} ;;
        --container-workdir=*) directory=${{1#*=}} ;;
        --container-mounts=*) ;;
        *) options="$options $1" ;;
    esac
    shift
done
[ -z "$image" ] || set -- {bin}/apptainer exec --pwd "$directory" "$image" "$@"
exec {srun} $options "$@"
"""


@pytest.fixture
def environment(cluster):
    """Environment whose PATH begins with the stand-ins; an image, a script, and a module beside that."""
    (cluster.shared_dir / "bin").mkdir()
    refused = cluster.write("refused", f"#!/bin/sh\nexit {REFUSED}\n")
    words = {"bin": cluster.shared_dir / "bin", "log": cluster.shared_dir / "log", "refused": refused,
             "python": os.path.dirname(cluster.python), "srun": shutil.which("srun")}  # fmt: skip
    cluster.write("bin/apptainer", APPTAINER.format(**words))
    cluster.write("bin/srun", PYXIS.format(**words))
    (cluster.shared_dir / "ml.sif").touch()
    (cluster.shared_dir / "beside.py").write_text("def where():\n    return __file__\n")
    shutil.copy(PROGRAM, cluster.shared_dir / "script.py")
    return {"PATH": f"{cluster.shared_dir}/bin:{os.environ['PATH']}"}


@pytest.fixture
def first_nodes_own(cluster):
    """Directory for data that only the first node has."""
    mounted = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    subprocess.run(cluster.node_command("n1", mounted), check=True)
    subprocess.run(cluster.node_command("n1", ["mkdir", "-p", "/mnt/me/job"]), check=True)
    yield "/mnt/me/job"
    subprocess.run(cluster.node_command("n1", ["umount", "/mnt"]), check=True)


@pytest.mark.release("24.11")
@pytest.mark.parametrize("kind", ["apptainer", "pyxis"])
def test_the_script_and_its_tasks_run_in_the_image(cluster, environment, first_nodes_own, kind):
    image = str(cluster.shared_dir / "ml.sif")
    commands = {
        "apptainer": ["-m", "hpcml", "run", "--container", "ml.sif", "script.py"],
        "pyxis": ["-m", "hpcml", "run", f"--container-image={image}", "script.py"],
    }
    command = " ".join([str(cluster.python), *commands[kind]])
    if kind == "apptainer":
        command = f"env TMPDIR={first_nodes_own} {command}"
    job = cluster.sbatch(f"#!/bin/bash\nexec {command}\n", "-N3", "--ntasks-per-node=2", env=environment)
    end = cluster.wait(job, timeout=60)
    assert end.exit_code == 3, end.output
    (line,) = re.findall(r'^{"script".*$', end.output, re.M)
    said = json.loads(line)
    assert said["script"] == image
    assert said["directory"] == str(cluster.shared_dir)
    beside = str(cluster.shared_dir / "beside.py")
    assert [task[2] for task in said["tasks"]] == list(range(18))
    assert {(task[0], *task[3:]) for task in said["tasks"]} == {(image, REFUSED, beside)}
    assert {task[1] for task in said["tasks"]} == {"n1", "n2", "n3"}
    log = (cluster.shared_dir / "log").read_text()
    if kind == "apptainer":
        words = f"--bind /tmp --bind {cluster.shared_dir} --pwd {cluster.shared_dir} {image} "
        assert f"n1: exec --bind {first_nodes_own} {words}" in log
        assert f"n2: exec {words}" in log
    assert not any(name.startswith("hpcml-") for node in cluster.nodes for name in cluster.files(node, "/tmp"))


@pytest.mark.release("22.05")
def test_a_job_in_a_container_stops_in_order(cluster, environment):
    (cluster.shared_dir / "slow.py").write_text(
        "import time\nfrom joblib import Parallel, delayed\n"
        "Parallel(n_jobs=-1)(delayed(time.sleep)(0.5) for _ in range(600))\n"
    )
    command = f"{cluster.python} -m hpcml run --container ml.sif slow.py"
    job = cluster.sbatch(f"#!/bin/bash\nexec {command}\n", "-N3", "--ntasks-per-node=2", env=environment)
    wait_until(lambda: "tasks done" in cluster.output(job), 60, lambda: cluster.output(job))
    cluster.run(["scancel", "--batch", "--signal=USR1", str(job)], check=True)
    end = cluster.wait(job)
    assert end.exit_code == 75, end.output
    assert "hpcml: stopped by SIGUSR1" in end.output
