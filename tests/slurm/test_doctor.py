"""`hpcml doctor` on real Slurm: a healthy cluster has no fault, and each planted fault is found and named."""

import json
import subprocess

import pytest
from patience import patient, promised, wait_until

HPCML = "hpcml.commands.main"


def doctor(cluster, *words, before=(), env=None, cwd=None):
    """Run the command on the login node, in the job that the words `before` start; exit status and plain data."""
    argv = [*before, cluster.python, "-m", HPCML, "doctor", "--json", *words]
    done = cluster.run(argv, env=env, cwd=cwd, timeout=90)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def faults(data):
    """Return the findings that are not fine: their subjects, with severity and lines."""
    found = [finding for finding in data["findings"] if finding["severity"] != "fine"]
    return {(finding["check"], finding["severity"]): "\n".join(finding["seen"]) for finding in found}


def on(cluster, node, script):
    """Run a shell script on a node, as root, past Slurm."""
    command = cluster.node_command(node, ["sh", "-ec", script])
    subprocess.run(command, check=True, capture_output=True, timeout=patient(10))


def test_a_healthy_cluster_has_nothing_that_will_fail(cluster):
    status, data = doctor(cluster, "--nodes=3", "--ntasks-per-node=1")
    assert status == 0, faults(data)
    assert not [check for check, severity in faults(data) if severity == "will fail"]
    assert data["nodes"].keys() == {"n1", "n2", "n3"}
    fine = {finding["check"]: finding["seen"][0] for finding in data["findings"] if finding["severity"] == "fine"}
    assert fine["addresses"] == "all nodes and this host reach n1, the controller's, at 10.32.1.1"
    assert fine["to this host and back"] == "each node, at 10.32.0.1"
    assert fine["working directory"].endswith("the same on every node")
    assert not list(cluster.shared_dir.iterdir()), "nothing is left"
    done = cluster.run([cluster.python, "-m", HPCML, "doctor"], check=True)
    assert done.stdout.endswith("To examine two:  hpcml doctor --nodes=2\n")


def plant(cluster, project, home):
    """Make each node ill in its own ways."""
    hosts = (cluster.state / "hosts.n2").read_text().replace(cluster.shape.address("n2"), "127.0.1.1")
    small = "mount -t tmpfs -o size=4m,mode=1777 tmpfs /dev/shm"
    on(cluster, "n1", small)
    old = "mkdir -p /tmp/site/joblib-1.2.0.dist-info; cd /tmp/site/joblib-1.2.0.dist-info; "
    old += "printf 'Metadata-Version: 2.1\\nName: joblib\\nVersion: 1.2.0\\n' > METADATA"
    few_files = "prlimit --nofile=200:200 --pid $(pgrep -x slurmd)"
    read_only = f"mount --bind {home} {home}; mount -o remount,bind,ro {home}"
    on(cluster, "n2", f"{old}; {few_files}; {read_only}")
    on(cluster, "n2", f"echo '{hosts}' > /tmp/hosts; mount --bind /tmp/hosts /etc/hosts")
    clock = "import time; now = time.time; time.time = lambda: now() + 90"
    narrow = "taskset -ap 1 $(pgrep -x slurmd)"
    on(cluster, "n3", f"mkdir /tmp/site; echo '{clock}' > /tmp/site/sitecustomize.py; {narrow}")
    on(cluster, "n3", f"mount -t tmpfs tmpfs {project}")


PLANTED = {
    ("shared memory", "will be slow or surprising"): "n1: 4.2 MB free of 4.2 MB in /dev/shm",
    ("host names", "will be slow or surprising"): "n2: the host's own name resolves to 127.0.1.1, the loopback",
    ("versions", "will fail"): "n2: joblib 1.2.0 (here ",
    ("open files", "will fail"): "n2: RLIMIT_NOFILE is 200; 2 slots need 264",
    ("home", "will be slow or surprising"): "n2: {home}: Read-only file system",
    ("clocks", "will be slow or surprising"): "n3: 90 s ahead of this host",
    ("CPUs", "will be slow or surprising"): "n3: 1 CPU for 2 of the job (the mask, of ",
    ("working directory", "will be slow or surprising"): "n3: {project} is another directory there",
    ("paths in variables", "will be slow or surprising"): "n1: PYTHONPATH names /tmp/site, which does not exist",
    ("environment variables", "will be slow or surprising"): "SLURM_EXPORT_ENV=NONE",
    ("MPI", "will be slow or surprising"): "mpi4py ",
}


@pytest.mark.release("24.11")
def test_each_of_a_dozen_planted_faults_is_found_and_named(make_cluster):
    cluster = make_cluster(cpus=(2, 2, 2))
    project, home = cluster.shared_dir / "project", cluster.shared_dir / "home"
    project.mkdir()
    home.mkdir()
    plant(cluster, project, home)
    job = ["salloc", "--quiet", "-N3", "--ntasks-per-node=2", "--time=3", "env", "SLURM_EXPORT_ENV=NONE"]
    environment = {"PYTHONPATH": "/tmp/site", "HOME": str(home)}
    status, data = doctor(cluster, before=job, env=environment, cwd=project)
    found = faults(data)
    for subject, seen in PLANTED.items():
        assert seen.format(project=project, home=home) in found.pop(subject, ""), (subject, data["findings"])
    assert [check for check, _ in found] == ["time left"]
    assert status == 1


@pytest.mark.release("22.05")
def test_nodes_that_are_cut_off_or_frozen_are_named_in_time(make_cluster):
    cluster = make_cluster(cpus=(1, 1, 1))
    cluster.cut_node("n2")
    cluster.freeze_node("n3")
    limit = patient(6)
    # The job ends when the nodes are back: Slurm would look for them for long.
    script = f"{cluster.python} -m {HPCML} doctor --json --timeout={limit}; echo $? > status; read line"
    process = cluster.popen(["salloc", "--quiet", "-N3", "sh", "-c", script], stdin=subprocess.PIPE)
    wait_until((cluster.shared_dir / "status").exists, 2 * limit)
    cluster.thaw_node("n3")
    cluster.restore_node("n2")
    data = json.loads(process.communicate("\n", timeout=patient(20))[0])
    (found,) = [finding for finding in data["findings"] if finding["severity"] == "will fail"]
    assert (found["check"], found["nodes"]) == ("start of a step", ["n2", "n3"])
    assert "--exclude=n[2-3]" in found["type"]
    assert (cluster.shared_dir / "status").read_text() == "1\n"
    assert data["nodes"]["n1"]["files"]["trial"] == "shared", "the node that answers is examined"
    assert data["seconds"] < promised(limit)
