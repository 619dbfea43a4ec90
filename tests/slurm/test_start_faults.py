"""Starts that fail: nodes, networks and Slurm itself, odd environments. Each ends in time.

The started script is programs/obedient.py.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from patience import patient, promised

pytestmark = pytest.mark.release("22.05")  # the rest of the ring runs on both

PROGRAM = Path(__file__).parent / "programs" / "obedient.py"
SPARE = 5  # seconds that a start which fails may take beyond its timeout


class Script:
    """Script that takes orders, in a job from the login node; ends with its ``with`` block."""

    def __init__(self, cluster, *command, **variables):
        self.process = cluster.popen([*command, cluster.python, PROGRAM], env=variables, stdin=subprocess.PIPE)

    def __enter__(self):
        assert self.answer() == {"ready": True}
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(patient(30))

    def answer(self, seconds=60):
        """Return the next answer."""
        ready, _, _ = select.select([self.process.stdout], [], [], patient(seconds))
        line = self.process.stdout.readline() if ready else ""
        assert line, f"no answer, status {self.process.poll()}"
        return json.loads(line)

    def ask(self, order, seconds=60):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer(seconds)

    def open(self, **options):
        return self.ask({"open": options})


def salloc(cluster, **variables):
    """Start the script in a job of six tasks on three nodes."""
    return Script(cluster, "salloc", "--quiet", "-N3", "--ntasks-per-node=2", **variables)


def on(cluster, node, *command):
    subprocess.run(cluster.node_command(node, list(command)), check=True, capture_output=True, timeout=patient(10))


@contextmanager
def slurmctld_frozen(cluster):
    """Stop slurmctld, whose socket still accepts connections, for the length of a ``with`` block."""
    daemon = cluster.record()["daemons"][1]
    os.kill(daemon, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(daemon, signal.SIGCONT)


# -- nodes that do not come --------------------------------------------------------------------------------------
@pytest.mark.release("22.05")
def test_a_node_that_imports_for_too_long_is_shown_with_its_log(cluster):
    slow = "import os, time\nprint('slowly')\nos.uname().nodename == 'n2' and time.sleep(600)\n"
    directory = cluster.write("slow_module.py", slow).parent
    limit = patient(6)
    with salloc(cluster, PYTHONPATH=f"{directory}:{os.environ.get('PYTHONPATH', '')}") as script:
        failed = script.open(timeout=limit, preload=["slow_module"])
        assert f"4 of 6 workers came within {limit:.1f} s" in failed["error"]
        assert "n2 has no worker; its log ends with\n    1: slowly\n" in failed["error"]
        assert "Cluster(min_slots=4)" in failed["error"]
        assert failed["seconds"] < limit + promised(SPARE)
        some = script.open(timeout=limit, preload=["slow_module"], min_slots=3)
        assert (some["slots"], some["hosts"]) == (4, ["n1", "n3"])
        assert script.ask({"run": [12, 0.0]})["sum"] == 66


def test_a_library_that_is_missing_on_one_node_is_named(cluster):
    text = "import os, sys\nif os.uname().nodename == 'n2':\n    sys.modules['ipyparallel'] = None\n"
    directory = cluster.write("sitecustomize.py", text).parent
    with salloc(cluster, PYTHONPATH=f"{directory}:{os.environ.get('PYTHONPATH', '')}") as script:
        failed = script.open(timeout=patient(10))
        assert failed["seconds"] < promised(10 + SPARE)
        (reason,) = [part for part in failed["error"].split("\nn") if part.startswith("2 has no worker; its log")]
        assert "1: ModuleNotFoundError: No module named 'ipyparallel" in reason


# -- addresses ---------------------------------------------------------------------------------------------------
@contextmanager
def odd_networks(cluster):
    """Give each node addresses that others have too or cannot reach, and remove its own name from /etc/hosts."""
    with ExitStack() as undo:
        for node in cluster.nodes:
            hosts = cluster.state / f"hosts.{node}"
            text = hosts.read_text()
            undo.callback(hosts.write_text, text)
            hosts.write_text("".join(line for line in text.splitlines(True) if not line.endswith(f" {node}\n")))
            on(cluster, node, "ip", "address", "add", "10.99.0.1/32", "dev", "lo")
            undo.callback(on, cluster, node, "ip", "address", "del", "10.99.0.1/32", "dev", "lo")
            on(cluster, node, "ip", "link", "add", "nic2", "type", "bridge")
            undo.callback(on, cluster, node, "ip", "link", "del", "nic2")
            on(cluster, node, "ip", "address", "add", f"172.31.{node[1:]}.1/24", "dev", "nic2")
            on(cluster, node, "ip", "link", "set", "nic2", "up")
        yield


@pytest.mark.release("22.05")
def test_the_address_is_one_that_every_node_reaches(cluster):
    with odd_networks(cluster):
        resolved = subprocess.run(
            cluster.node_command("n1", ["getent", "hosts", "n1"]), capture_output=True, check=False,
            timeout=patient(10),
        )
        assert resolved.returncode != 0, "n1 does not know its own name"
        program = f"#!/bin/bash\nexec {cluster.python} {PROGRAM} <<< '{json.dumps({'open': {'timeout': 20}})}'"
        end = cluster.wait(cluster.sbatch(program, "-N3", "-n6"))
    answer = json.loads(end.output.splitlines()[1])
    assert (answer["slots"], answer["address"]) == (6, cluster.shape.address("n1"))


@contextmanager
def firewall(cluster, node, *rule):
    """Add a rule to a node's network, such as that of a firewall which admits only Slurm's ports."""
    on(cluster, node, "ip", "rule", "add", *rule)
    try:
        yield
    finally:
        on(cluster, node, "ip", "rule", "del", *rule)


@pytest.mark.release("24.11")
def test_a_firewall_between_nodes_is_shown_by_address_and_node(cluster):
    first, third = cluster.shape.address("n1"), cluster.shape.address("n3")
    silent = ("to", third, "ipproto", "tcp", "sport", "20000-65534", "blackhole")
    rejects = ("to", first, "ipproto", "tcp", "dport", "20000-65534", "prohibit")
    with salloc(cluster) as script:
        with firewall(cluster, "n1", *silent):
            failed = script.open(timeout=patient(20))
        with firewall(cluster, "n3", *rejects):
            some = script.open(timeout=patient(9), min_slots=4)
            assert script.ask({"run": [12, 0.0]})["sum"] == 66
    assert "no address of the controller can be reached from everywhere" in failed["error"]
    assert f"    n2: 127.0.0.1 Connection refused, {first} reached\n" in failed["error"]
    assert f"    n3: 127.0.0.1 Connection refused, {first} timed out\n" in failed["error"]
    assert "To go on with the nodes that reach one: Cluster(min_slots=4)" in failed["error"]
    assert failed["seconds"] < promised(10), "as soon as it is known"
    assert (some["slots"], some["hosts"]) == (4, ["n1", "n2"])


# -- environments ------------------------------------------------------------------------------------------------
def test_srun_is_the_only_command_of_slurm_that_a_run_needs(cluster):
    (cluster.shared_dir / "bin").mkdir()
    found = cluster.run(["sh", "-c", "command -v srun"], check=True).stdout.strip()
    orders = "\n".join(json.dumps(order) for order in ({"open": {"timeout": patient(20)}}, {"run": [12, 0.0]}))
    program = (
        f"#!/bin/bash\nln -s {found} {cluster.shared_dir}/bin/srun\nexport PATH={cluster.shared_dir}/bin\n"
        f"command -v scontrol squeue sacct\nexec {cluster.python} {PROGRAM} <<< '{orders}'"
    )
    end = cluster.wait(cluster.sbatch(program, "-N3", "-n6"))
    assert end.state == "COMPLETED", end.output
    _, opened, ran = map(json.loads, end.output.splitlines())
    assert (opened["slots"], ran["sum"]) == (6, 66)


def test_the_environment_of_a_job_that_is_over_is_an_error_at_once(cluster):
    printed = cluster.run(["salloc", "-Q", "-N2", "-n2", "env"], check=True).stdout
    left = [line for line in printed.splitlines() if line.startswith("SLURM_") and "CONF" not in line]
    with Script(cluster, "env", *left) as script:
        failed = script.open(timeout=patient(20))
    assert "EngineError: 0 of 2 workers came" in failed["error"]
    assert "has expired" in failed["error"] or "nvalid job id" in failed["error"]
    assert "If that is a job which is over, forget it:  unset ${!SLURM_@}" in failed["error"]
    assert failed["seconds"] < promised(SPARE)


# -- many at once ------------------------------------------------------------------------------------------------
@pytest.mark.release("24.11")
def test_a_hundred_and_twenty_engines_may_register_at_once(cluster):
    with salloc(cluster) as script:
        opened = script.open(timeout=patient(60), slots_per_node=40)
        assert opened["slots"] == 120
        assert script.ask({"run": [480, 0.0]})["sum"] == sum(range(480))


def with_few_ports(tmp_path, count, starts, **options):
    """Open Clusters at once on a computer with so many ephemeral ports; return the output of each."""
    orders = tmp_path / "orders"
    orders.write_text("".join(json.dumps(order) + "\n" for order in ({"open": options}, {"run": [4, 0.2]})))
    each = f'cd {tmp_path} && "$0" {PROGRAM} < {orders} > {tmp_path}/$number.out'
    script = (
        f"ip link set lo up && echo 40000 {39999 + count} > /proc/sys/net/ipv4/ip_local_port_range || exit\n"
        f"for number in $(seq {starts}); do ({each}) & done; wait"
    )
    command = ["unshare", "--net", "sh", "-c", script, sys.executable]
    subprocess.run(command, check=True, timeout=patient(60), stdin=subprocess.DEVNULL)
    outputs = [(tmp_path / f"{number + 1}.out").read_text().splitlines() for number in range(starts)]
    return [[json.loads(line) for line in lines[1:]] for lines in outputs]


def test_simultaneous_starts_use_different_ports(tmp_path):
    answers = with_few_ports(tmp_path, 400, 6, engine="ipyparallel", slots_per_node=1, timeout=patient(20))
    assert [ran["sum"] for _, ran in answers] == [6] * 6


def test_a_start_without_a_free_port_fails_at_once(tmp_path):
    ((failed,),) = with_few_ports(tmp_path, 12, 1, engine="ipyparallel", slots_per_node=1, timeout=patient(20))
    assert "no port is free on 127.0.0.1" in failed["error"]
    assert failed["seconds"] < promised(SPARE)


# -- slurmctld ---------------------------------------------------------------------------------------------------
def calls(cluster):
    """Return the number of slurmctld's calls of each kind, without those of nodes and of this question."""
    lines = cluster.call(["sdiag"]).stdout.partition("by message type\n")[2].partition("\n\n")[0].splitlines()
    counts = {line.split()[0]: int(line.partition("count:")[2].split()[0]) for line in lines if "count:" in line}
    assert "REQUEST_JOB_STEP_CREATE" in counts
    others = ("REQUEST_STATS_INFO", "MESSAGE_NODE_REGISTRATION_STATUS", "REQUEST_PING")
    return {kind: count for kind, count in counts.items() if kind not in others}


def test_a_start_waits_for_slurmctld_and_a_running_cluster_does_not(cluster):
    """A start waits for slurmctld until its timeout; a running Cluster continues, and asks it nothing."""
    with salloc(cluster) as script:
        with slurmctld_frozen(cluster):
            failed = script.open(timeout=patient(3))
        assert "Slurm has not started the workers. `scontrol ping` shows whether it answers" in failed["error"]
        assert failed["seconds"] < promised(3 + SPARE)
        with slurmctld_frozen(cluster):
            script.process.stdin.write(json.dumps({"open": {"timeout": patient(30)}}) + "\n")
            script.process.stdin.flush()
            time.sleep(2)
        assert script.answer()["slots"] == 6, "it was asked again"
        with slurmctld_frozen(cluster):
            assert script.ask({"run": [60, 0.05]})["sum"] == 1770
        before = calls(cluster)
        assert script.ask({"run": [240, 0.1]})["seconds"] > 2
        assert calls(cluster) == before, "a run in steady state asks Slurm nothing"
    steps = cluster.call(["squeue", "--steps", "--noheader"]).stdout
    assert not steps
