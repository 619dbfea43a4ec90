"""Test cluster itself: it starts, its commands work, it counts, and it leaves nothing behind."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cluster_conf as conf
import cluster_ns as ns
import pytest
from cluster_conf import LOGIN, ClusterError, Shape
from cluster_session import ClusterSession
from patience import patient, promised
from slurm_cluster import SlurmCluster, reap

pytestmark = pytest.mark.release("22.05")  # the rest of the ring runs on both

SCRIPT = Path(__file__).parent / "cluster"
MB = 1_000_000


def command(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *argv], capture_output=True, text=True, check=False,
                          timeout=patient(120))


def mounts() -> set[str]:
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def devices() -> set[str]:
    return set(os.listdir("/sys/class/net"))


# -- the files it writes ---------------------------------------------------------------------------------
def test_every_line_of_hosts_is_an_address_of_the_cluster():
    text = conf.hosts(Shape(cpus=(1, 1)), "n1")
    assert text == "127.0.0.1 localhost\n10.32.0.1 login\n10.32.1.1 n1\n10.32.1.2 n2\n"


def test_loopback_names_are_those_of_the_node_itself_only():
    text = conf.hosts(Shape(cpus=(1, 1), loopback_names=True), "n1")
    assert text == "127.0.0.1 localhost\n10.32.0.1 login\n127.0.1.1 n1\n10.32.1.2 n2\n"


def test_conf_replaces_a_parameter():
    text = conf.slurm_conf(Shape(conf={"KillWait": "9"}), Path("/state"))
    assert "KillWait=9\n" in text
    assert "KillWait=10\n" not in text


def test_unknown_release_lists_the_known():
    with pytest.raises(ClusterError, match=r"unknown release '1\.0'; known are 22\.05, 24\.11"):
        Shape(release="1.0")


# -- a cluster in use ------------------------------------------------------------------------------------
def test_each_node_runs_a_task_of_the_step(cluster: ClusterSession):
    done = cluster.run(["srun", "-N3", "hostname"], check=True)
    assert sorted(done.stdout.split()) == ["n1", "n2", "n3"]


def test_release_is_the_one_asked_for(cluster: ClusterSession, release: str):
    assert f" {release}." in cluster.run(["srun", "--version"]).stdout


def test_no_slurm_variable_of_the_caller_is_passed_on(cluster: ClusterSession):
    done = cluster.run(["env"], env={"SLURM_JOB_ID": "1", "SBATCH_PARTITION": "high", "HPCML_KEPT": "x"})
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert "HPCML_KEPT" in names
    assert {name for name in names if name.startswith(("SLURM_", "SBATCH_"))} == {"SLURM_CONF"}


def test_the_tests_python_runs_on_every_node(cluster: ClusterSession):
    program = "import sys, socket, ssl, numpy; print(socket.gethostname(), sys.prefix)"
    done = cluster.run(["srun", "-N3", cluster.python, "-c", program], check=True)
    assert sorted(done.stdout.splitlines()) == [f"n{i} {sys.prefix}" for i in (1, 2, 3)]


def test_the_end_of_a_batch_job_is_awaited(cluster: ClusterSession):
    end = cluster.wait(cluster.sbatch("hostname; exit 3", "--nodelist=n2"))
    assert (end.state, end.exit_code, end.signal, end.output) == ("FAILED", 3, 0, "n2\n")


def test_a_wait_that_times_out_shows_the_job(cluster: ClusterSession):
    job = cluster.sbatch("echo so far; sleep 60")
    cluster.wait_state(job, "RUNNING")
    with pytest.raises(TimeoutError, match=r"job \d+ is RUNNING .*not .*COMPLETED(?s:.*)so far"):
        cluster.wait(job, timeout=2)
    cluster.run(["scancel", str(job)], check=True)
    assert cluster.wait(job).state == "CANCELLED"


def test_a_command_that_times_out_shows_its_output(cluster: ClusterSession):
    with pytest.raises(TimeoutError, match=r"no end after [0-9.]+ s(?s:.*)so far"):
        cluster.run(["sh", "-c", "echo so far; exec sleep 60"], timeout=1)


def test_a_job_of_higher_priority_sends_others_back_to_the_queue(cluster: ClusterSession):
    low = cluster.sbatch("echo run ${SLURM_RESTART_COUNT:-0}; sleep 2", "-N3", "-n12", "--open-mode=append")
    cluster.wait_state(low, "RUNNING")
    high = cluster.sbatch("true", "--partition=high", "-N3", "-n12")
    assert cluster.wait(high).state == "COMPLETED"
    end = cluster.wait(low, timeout=90)
    assert end.state == "COMPLETED"
    assert "run 0" in end.output
    assert "run 1" in end.output


def test_bytes_are_those_of_a_broadcast(cluster: ClusterSession):
    (cluster.shared_dir / "data").write_bytes(os.urandom(20 * MB))
    before = cluster.bytes()
    script = "sbcast data /tmp/data && srun --overlap sh -c 'stat -c %s /tmp/data; rm /tmp/data'"
    end = cluster.wait(cluster.sbatch(script, "-N3"))
    assert end.output.split() == [str(20 * MB)] * 3
    received = [cluster.bytes()[node]["rx"] - before[node]["rx"] for node in ("n2", "n3")]
    # A node that forwards the file counts it as sent; headers and Slurm's messages add a little.
    assert all(20 * MB < count < 23 * MB for count in received), received


@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed")
def test_pmix_makes_one_world_of_all_tasks(cluster: ClusterSession):
    program = cluster.write("world.py", "from mpi4py import MPI\nc = MPI.COMM_WORLD\n"
                                        "print(c.size, c.allreduce(c.rank), MPI.Get_processor_name())\n")
    argv = ["srun", "--mpi=pmix", "-N3", "--ntasks-per-node=2", cluster.python, "-m", "mpi4py", program]
    done = cluster.run(argv, check=True)
    assert sorted(done.stdout.splitlines()) == [f"6 15 n{i}" for i in (1, 1, 2, 2, 3, 3)]


# -- harm ------------------------------------------------------------------------------------------------
def sleepers(cluster: ClusterSession) -> int:
    return cluster.sbatch("srun --no-kill --kill-on-bad-exit=0 sleep 3333", "-N3", "--no-kill")


def tasks(cluster: ClusterSession, node: str) -> list[tuple[str, ...]]:
    return [process.argv for process in cluster.processes(node) if process.argv[1:] == ("3333",)]


def test_a_killed_node_runs_nothing_and_can_be_booted(cluster: ClusterSession):
    job = sleepers(cluster)
    ns.wait_for(lambda: all(tasks(cluster, node) for node in cluster.nodes), 20, "three tasks")
    cluster.kill_node("n2")
    assert cluster.all_processes("n2") == []
    assert set(cluster.bytes()) == {"n1", "n3"}
    assert tasks(cluster, "n1")
    assert tasks(cluster, "n3")
    with pytest.raises(ClusterError, match="node n2 does not run; start it with: cluster boot-node n2"):
        cluster.kill_node("n2")
    cluster.run(["scancel", str(job)], check=True)
    cluster.boot_node("n2")
    cluster.wait_idle()
    assert cluster.run(["srun", "-w", "n2", "hostname"], check=True).stdout == "n2\n"


@pytest.mark.release("22.05")
def test_a_frozen_node_runs_nothing_until_it_is_thawed(cluster: ClusterSession):
    count = cluster.shared_dir / "count"
    job = cluster.sbatch(f"while :; do echo x >> {count}; sleep 0.05; done", "--nodelist=n2")
    ns.wait_for(count.exists, 20, "the first line")
    cluster.freeze_node("n2")
    assert {ns.state_of(process.pid) for process in cluster.all_processes("n2")} == {"T"}
    size = count.stat().st_size
    time.sleep(0.5)
    assert count.stat().st_size == size
    cluster.thaw_node("n2")
    ns.wait_for(lambda: count.stat().st_size > size, 10, "another line")
    cluster.run(["scancel", str(job)], check=True)


def test_processes_of_a_cut_node_run_on(cluster: ClusterSession):
    job = cluster.sbatch("sleep 3333", "--nodelist=n2")
    ns.wait_for(lambda: tasks(cluster, "n2"), 20, "the task")
    reach = ["bash", "-c", "exec 3<>/dev/tcp/n2/6818"]
    assert cluster.run(["timeout", "3", *reach]).returncode == 0
    cluster.cut_node("n2")
    assert cluster.run(["timeout", "3", *reach]).returncode != 0
    assert tasks(cluster, "n2")
    cluster.restore_node("n2")
    ns.wait_for(lambda: cluster.run(["timeout", "3", *reach]).returncode == 0, 20, "the node's answer")
    cluster.run(["scancel", str(job)], check=True)


# -- what a test leaves behind ---------------------------------------------------------------------------
def test_leftovers_are_found_and_removed(cluster: ClusterSession, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cluster_session.CLEAN_TIMEOUT", 1)
    cluster.popen(["sleep", "4444"])
    job = cluster.sbatch("touch /dev/shm/litter; trap '' TERM; sleep 3333", "--nodelist=n3")
    ns.wait_for(lambda: tasks(cluster, "n3"), 20, "the task")
    left = "\n".join(cluster.end_test())
    assert f"squeue: {job} " in left
    assert f"on {LOGIN}: sleep 4444" in left
    assert "sleep 3333" in left
    assert "file on n3: /dev/shm/litter" in left
    assert cluster.leftovers() == []
    cluster.begin_test("next")


# -- other shapes ----------------------------------------------------------------------------------------
def test_nodes_may_have_different_cpus(make_cluster: Callable[..., ClusterSession]):
    cluster = make_cluster(cpus=(4, 2, 1))
    script = "echo $SLURM_JOB_CPUS_PER_NODE $SLURM_TASKS_PER_NODE"
    assert cluster.wait(cluster.sbatch(script, "-N3", "-n7")).output == "4,2,1 4,2,1\n"


def test_gpus_and_loopback_names(make_cluster: Callable[..., ClusterSession]):
    cluster = make_cluster(cpus=(2, 2), gpus=2, loopback_names=True)
    program = "echo $CUDA_VISIBLE_DEVICES $(getent hosts $(hostname) | cut -d' ' -f1)"
    done = cluster.run(["srun", "-N2", "--gres=gpu:2", "sh", "-c", program], check=True)
    assert done.stdout == "0,1 127.0.1.1\n" * 2


@pytest.mark.release("24.11")
@pytest.mark.parametrize(("interactive", "host"), [(False, "login"), (True, "n1")])
def test_the_shell_of_salloc_runs_on(make_cluster: Callable[..., ClusterSession], interactive: bool, host: str):
    cluster = make_cluster(cpus=(2, 2), interactive_step=interactive)
    # The interactive step needs a terminal.
    argv = ["script", "-qec", "salloc -N2", "/dev/null"]
    cluster.run(argv, input="hostname > where\nexit\n", timeout=30, check=True)
    assert (cluster.shared_dir / "where").read_text() == f"{host}\n"


# -- session ------------------------------------------------------------------------------------------------
def test_command_starts_uses_and_ends_a_cluster(release: str):
    name = f"pytest-{os.getpid()}-command"
    before = mounts(), devices(), set(os.listdir("/dev/shm")), Path("/etc/hosts").read_bytes()
    start = time.monotonic()
    up = command("up", "--name", name, "--nodes", "2", "--cpus", "2", "--release", release)
    try:
        seconds = time.monotonic() - start
        print(up.stdout, f"{seconds:.1f} s")
        assert (up.returncode, up.stderr) == (0, "")
        assert seconds < promised(60)
        state = SlurmCluster(name).state
        assert "n2" in command("status", "--name", name).stdout
        assert command("exec", "--name", name, "--", "sh", "-c", "exit 7").returncode == 7
        assert command("exec", "--name", name, "--node", "n2", "--", "hostname").stdout == "n2\n"
        assert '"n1": {"rx": ' in command("bytes", "--name", name, "--json").stdout
        assert "known are n1, n2" in command("kill-node", "--name", name, "n7").stderr
    finally:
        down = command("down", "--name", name)
    assert (down.returncode, down.stderr) == (0, "")
    assert ns.marked(state) == []
    assert not state.exists()
    after = mounts(), devices(), set(os.listdir("/dev/shm")), Path("/etc/hosts").read_bytes()
    assert after[:2] == before[:2]
    assert after[3] == before[3]
    assert command("down", "--name", name).returncode == 0
    assert "is up; start it with: cluster up --name" in command("status", "--name", name).stderr


@pytest.mark.release("22.05")
def test_up_ends_an_earlier_cluster_and_reap_an_orphan(release: str):
    cluster = SlurmCluster(f"pytest-{os.getpid()}-stale")
    shape = Shape(cpus=(1,), release=release)
    owner = subprocess.Popen(["sleep", "6666"])
    try:
        cluster.up(shape)
        first = cluster.holder
        # As after a crash of the starting process: the record is lost, processes are left.
        (cluster.state / "cluster.json").unlink()
        cluster.up(shape, owner=owner.pid)
        assert ns.state_of(first) in (None, "Z")
        assert cluster.name not in reap()
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
        assert cluster.name in reap()
        assert not cluster.state.exists()
    finally:
        owner.kill()
        owner.wait(10)
        cluster.down()


@pytest.mark.release("22.05")
def test_two_clusters_do_not_see_each_other(make_cluster: Callable[..., ClusterSession]):
    one, two = make_cluster(cpus=(1,)), make_cluster(cpus=(1, 1))
    job = one.sbatch("sleep 3333")
    one.wait_state(job, "RUNNING")
    assert two.run(["squeue", "--noheader"], check=True).stdout == ""
    one.run(["scancel", str(job)], check=True)


def test_without_root_the_command_fails_with_the_reason():
    # The user nobody may be unable to reach the tests' interpreter and this folder.
    with tempfile.TemporaryDirectory() as reachable:
        os.chmod(reachable, 0o755)
        shutil.copy(SCRIPT, reachable)
        shutil.copytree(SCRIPT.parent / "harness", f"{reachable}/harness")
        argv = ["/usr/bin/python3", f"{reachable}/{SCRIPT.name}", "status"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, user="nobody", cwd="/",
                              timeout=patient(60))
    assert (done.returncode, done.stderr) == (
        2, "cluster: a test cluster needs root, for it makes network and mount namespaces\n")
