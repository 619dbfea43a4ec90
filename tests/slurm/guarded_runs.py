"""Runs whose sockets, keys and executions are watched, and attacks on them from a node."""

import contextlib
import json
import re
import select
import subprocess
from pathlib import Path

from cluster_conf import LOGIN
from patience import patient

PROGRAMS = Path(__file__).parent / "programs"
ATTACK, GUARDED, RECORD = (PROGRAMS / f"{name}.py" for name in ("attack", "guarded", "record"))
# The hub's registration, monitor and notification; two each of the heart monitor and the five schedulers:
# iopub, mux, control, task, broadcast.
CONTROLLER_PORTS = 15


class Guarded:
    """Run of six slots on three nodes, with counted executions; ends with its ``with`` block."""

    def __init__(self, cluster, name="run", **variables):
        self.cluster = cluster
        self.done = 0
        self.process = None
        self.counts = cluster.shared_dir / f"{name}.counts"
        self.errors = cluster.shared_dir / f"{name}.errors"
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
        if self.process is None:
            self.start()
        self.about = self.answer()
        assert self.about["slots"] == 6
        return self

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        status = self.process.wait(patient(30))
        assert kind or status == 0, self.errors.read_text()

    def answer(self):
        line = read_line(self.process, 60)
        assert line, self.errors.read_text()
        return json.loads(line)

    def order(self, tasks):
        self.process.stdin.write(f"{tasks}\n")
        self.process.stdin.flush()
        self.done += tasks

    def check(self):
        """Check the answer to the last order: all slots are present, and each task was executed once."""
        answer = self.answer()
        assert self.counted() == list(range(self.done))
        assert answer["slots"] == 6
        assert "another takes its place" not in self.errors.read_text()

    def counted(self):
        """Return the number of each task that was executed, in order."""
        return sorted(map(int, self.counts.read_text().split()))

    def work(self, tasks=12):
        self.order(tasks)
        self.check()

    def secrets(self):
        """Return both keys of each pair that a process of the run has made, and those sent to the driver."""
        keys = {key for file in self.keys.iterdir() for key in file.read_text().split()}
        assert len(keys) >= 2 * (1 + 6 + 1), "the controller, six engines and the client have a pair each"
        return sorted(keys)

    def server_key(self):
        """Return the controller's public key, which each of its clients needs."""
        return (self.keys / "server").read_text().split()[0]


def read_line(process, seconds):
    """Return the next line of a process, or an empty text where none comes in time."""
    ready = select.select([process.stdout], [], [], seconds)[0]
    return process.stdout.readline() if ready else ""


def listening(cluster, node):
    """Return [(address, port, names of the processes)] of the listening sockets of a node that are not Slurm's."""
    command = ["ss", "-Hltunp"]
    argv = cluster.login_command(command, "/") if node == LOGIN else cluster.node_command(node, command)
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=patient(20)).stdout
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
    """Attack a run, and keep the attack's connections open; the value is the attack's report."""
    argv = cluster.node_command(node, [cluster.python, str(ATTACK)])
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.environment()
    )
    try:
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        line = read_line(process, 60)
        assert line, "the attack has failed"
        yield json.loads(line)
    finally:
        process.stdin.close()
        process.wait(110)  # it ends itself after 100
        process.stdout.close()
