"""Another user on the nodes of a run cannot speak to it, learn its keys, disturb it, or repeat what it said.

The attacks are programs/attack.py, which runs as `nobody` on the controller's node.
"""

import contextlib
import json
import re
import subprocess
from pathlib import Path

from cluster_conf import LOGIN

PROGRAMS = Path(__file__).parent / "programs"
ATTACK, GUARDED, RECORD = (PROGRAMS / f"{name}.py" for name in ("attack", "guarded", "record"))
# The hub's registration, monitor and notification; two each of the heart monitor and the five schedulers:
# iopub, mux, control, task, broadcast.
CONTROLLER_PORTS = 15


class Guarded:
    """A run of six slots on three nodes, and what was done to it; ends with its ``with`` block."""

    def __init__(self, cluster, name="run", **variables):
        self.cluster, self.done = cluster, 0
        self.counts, self.errors = cluster.shared_dir / f"{name}.counts", cluster.shared_dir / f"{name}.errors"
        self.keys = cluster.shared_dir / f"{name}.keys"
        self.keys.mkdir(mode=0o700)
        self.env = {"PYTHONPATH": str(PROGRAMS / "site"), "HPCML_TEST_KEYS": str(self.keys), **variables}

    def start(self, *options):
        command = ["salloc", "--quiet", "-N3", "--ntasks-per-node=2", self.cluster.python, GUARDED, self.counts]
        with self.errors.open("w") as errors:
            self.process = self.cluster.popen(
                [*command, *options], env=self.env, stdin=subprocess.PIPE, stderr=errors
            )
        return self

    def __enter__(self):
        self.start().opened()
        return self

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        status = self.process.wait(30)
        assert kind or status == 0, self.errors.read_text()

    def opened(self):
        self.about = self.answer()
        assert self.about["slots"] == 6

    def answer(self):
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        return json.loads(line)

    def order(self, tasks):
        self.process.stdin.write(f"{tasks}\n")
        self.process.stdin.flush()
        self.done += tasks

    def check(self):
        """Take the answer to the last order: all slots are there, and each task was executed once."""
        answer = self.answer()
        counted = sorted(map(int, self.counts.read_text().split()))
        assert counted == list(range(self.done))
        assert answer["slots"] == 6
        assert "another takes its place" not in self.errors.read_text()

    def work(self, tasks=12):
        self.order(tasks)
        self.check()

    def secrets(self):
        """Both keys of each pair that a process of the run has made, and what the driver was told."""
        return {key for file in self.keys.iterdir() for key in file.read_text().split()}

    def server_key(self):
        """The controller's public key, which whoever speaks to it has to know."""
        return (self.keys / "server").read_text().split()[0]


def listening(cluster, node):
    """Return [(address, port, names of the processes)] of the listening sockets of a node that are not Slurm's."""
    command = ["ss", "-Hltunp"]
    argv = cluster.login_command(command, "/") if node == LOGIN else cluster.node_command(node, command)
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout
    sockets = []
    for line in shown.splitlines():
        address, _, port = line.split()[4].rpartition(":")
        names = set(re.findall(r'"([^"]+)",pid', line))
        if not names & {"slurmd", "slurmctld", "slurmstepd", "salloc", "srun"}:  # salloc's child inherits one
            sockets.append((address, int(port), names))
    return sockets


def ports(cluster, node="n1"):
    return [(address, port) for address, port, _ in listening(cluster, node)]


@contextlib.contextmanager
def attack(cluster, node="n1", **order):
    """Attack, and hold what the attack has opened; the value is what it did."""
    argv = cluster.node_command(node, [cluster.python, str(ATTACK)])
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.environment()
    )
    try:
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.stdout.close()


def test_every_socket_has_one_address_and_their_number_is_known(cluster):
    with Guarded(cluster):
        engine = ("127.0.0.1", {"python"})
        controller = (cluster.shape.address("n1"), {"python"})
        wanted = {"n1": CONTROLLER_PORTS * [controller] + 2 * [engine], "n2": 2 * [engine], "n3": 2 * [engine]}
        found = {
            node: sorted(((address, names) for address, _, names in listening(cluster, node)), key=str)
            for node in (*cluster.nodes, LOGIN)
        }
    assert found == {**wanted, LOGIN: []}


def test_nobody_without_the_key_is_heard_or_hears(cluster):
    """The same words with the key are executed: without it they would be, were they only understood."""
    with Guarded(cluster) as run:
        file = cluster.shared_dir / "made-by-unpickling"
        everywhere = {"ports": ports(cluster), "idents": run.about["idents"], "file": str(file)}
        cluster.shared_dir.chmod(0o777)
        run.order(60)
        with attack(cluster, attack="speak", key="", **everywhere) as done:
            assert done == {"accepted": 0, "heard": 0}
        run.check()
        assert not file.exists()
        with attack(cluster, attack="speak", key=run.server_key(), **everywhere) as done:
            assert done["accepted"] == CONTROLLER_PORTS
            assert done["heard"] > 0
        assert file.exists()
        run.work(12)
