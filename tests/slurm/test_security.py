"""Another user on the nodes of a run cannot speak to it, learn its keys, disturb it, or repeat what it said.

The attacks are programs/attack.py, which runs as `nobody` on the controller's node.
"""

import contextlib
import json
import re
import select
import subprocess
import time
from pathlib import Path

import pytest
from cluster_conf import LOGIN
from patience import patient, promised, wait_until

pytestmark = pytest.mark.release("24.11")  # the rest of the ring runs on both

PROGRAMS = Path(__file__).parent / "programs"
ATTACK, GUARDED, RECORD = (PROGRAMS / f"{name}.py" for name in ("attack", "guarded", "record"))
# The hub's registration, monitor and notification; two each of the heart monitor and the five schedulers:
# iopub, mux, control, task, broadcast.
CONTROLLER_PORTS = 15


class Guarded:
    """A run of six slots on three nodes, and what was done to it; ends with its ``with`` block."""

    def __init__(self, cluster, name="run", **variables):
        self.cluster, self.done, self.process = cluster, 0, None
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
        """Take the answer to the last order: all slots are there, and each task was executed once."""
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
        """Both keys of each pair that a process of the run has made, and what the driver was told."""
        keys = {key for file in self.keys.iterdir() for key in file.read_text().split()}
        assert len(keys) >= 2 * (1 + 6 + 1), "the controller, six engines and the client have a pair each"
        return sorted(keys)

    def server_key(self):
        """The controller's public key, which whoever speaks to it has to know."""
        return (self.keys / "server").read_text().split()[0]


def read_line(process, seconds):
    """Return the next line that a process prints, nothing if it prints none so long."""
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
    """Attack, and hold what the attack has opened; the value is what it did."""
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


def places_of_secrets(cluster, run, secrets):
    """Return where a secret is met: command lines, environments, files, and what was printed."""
    found = {"what was printed": (run.errors.read_text() + str(run.about)).encode()}
    for question in ("scontrol show job -dd", "scontrol show step", "squeue --steps"):
        found[question] = cluster.run(question.split(), check=True).stdout.encode()
        assert found[question]
    for node in (LOGIN, *cluster.nodes):
        for process in cluster.processes(node):
            for name in ("cmdline", "environ"):
                path = Path(f"/proc/{process.pid}/{name}")
                with contextlib.suppress(OSError):
                    found[f"{path} on {node}"] = path.read_bytes()
        for directory in ("/tmp", "/dev/shm"):
            root = cluster.seen_by(node, directory)
            found |= {str(path): path.read_bytes() for path in root.glob("hpcml-*/**/*") if path.is_file()}
    files = [*cluster.shared_dir.rglob("*"), *cluster.state.glob("log/*"), *cluster.state.glob("spool/**/*")]
    found |= {str(path): path.read_bytes() for path in files if path.is_file() and run.keys not in path.parents}
    assert any("controller.log" in name for name in found)
    return [name for name, data in found.items() if any(secret.encode() in data for secret in secrets)]


def test_the_keys_are_nowhere_to_be_seen(cluster):
    """Also not by `nobody`, who finds the one that is left open to see that he would.

    A library prints while the controller starts, as some do: the line with its key must not become a part of
    that, for what cannot be understood goes to the log, and the log's end to an error's text.
    """
    with Guarded(cluster, HPCML_TEST_TALKS="n1") as run:
        secrets = run.secrets()
        run.work(6)
        assert not places_of_secrets(cluster, run, secrets)
        cluster.shared_dir.chmod(0o777)
        decoy = cluster.write("decoy", run.server_key())
        for node in ("n1", "n2"):
            places = ["/tmp", "/dev/shm", str(cluster.shared_dir)]
            with attack(cluster, node, attack="spy", places=places, secrets=secrets) as done:
                assert done == {"met": [str(decoy)], "environments": 0, "read": done["read"]}
                assert done["read"] > 1000


def test_no_key_is_told_when_a_start_fails(cluster):
    """The controller and four of the six workers are there, and have keys, when it is given up."""
    run = Guarded(cluster, HPCML_TEST_BROKEN="n2").start(f"timeout={patient(5)}")
    assert run.process.stdout.read() == ""
    assert run.process.wait(patient(20)) == 1
    run.process.stdin.close()
    assert "EngineError: 4 of 6 workers came within" in run.errors.read_text()
    keys = [key for file in run.keys.iterdir() for key in file.read_text().split()]
    assert len(keys) >= 2 * (1 + 4 + 1)
    logs = [path.read_text() for path in cluster.shared_dir.rglob("*.log")]
    assert len(logs) == 2
    assert not [key for key in keys if key in run.errors.read_text() + "".join(logs)]


def peaks(cluster):
    """Return {process: (resident now, the most it ever was)} in MB of all processes of runs."""
    found = {}
    for node in cluster.nodes:
        for process in cluster.processes(node):
            if str(ATTACK) in process.argv:
                continue
            status = Path(f"/proc/{process.pid}/status").read_text()
            now, most = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("VmRSS", "VmHWM"))
            found[process.pid] = (now, most)
    return found


@pytest.mark.release("22.05")
def test_noise_on_every_port_changes_nothing(cluster):
    """Silence, slowness, nonsense and lengths of 2**30 and more, on each port, while a run works."""
    with Guarded(cluster) as run:
        run.work(6)
        before = peaks(cluster)
        run.order(300)
        with attack(cluster, attack="noise", ports=ports(cluster), frames=10_000) as done:
            assert done["sent"] >= 10_000
            assert done["held"] > 200
            run.check()
            run.work(12)
            after = peaks(cluster)
        run.work(12)
    assert before.keys() == after.keys()
    grown = {pid: round(after[pid][1] - before[pid][0]) for pid in before}
    assert max(grown.values()) < 50, grown


@pytest.mark.release("24.11")
def test_a_start_goes_on_while_its_listeners_are_held(cluster):
    """Those which are there before the controller is: whoever connects is told a number, and may stay or go."""
    run = Guarded(cluster, HPCML_TEST_SLOW="n2")
    (run.keys / "n2").touch()
    run.start()
    wait_until(lambda: ports(cluster))
    found = ports(cluster)
    assert {address for address, _ in found} == {"127.0.0.1", cluster.shape.address("n1")}
    assert len(found) == 2
    with attack(cluster, attack="noise", ports=found, frames=2_000) as done:
        assert done["held"] > 100
        (run.keys / "n2").unlink()
        began = time.monotonic()
        with run:
            assert time.monotonic() - began < promised(5)
            run.work(12)


class Recording:
    """What TCP connections send over the network to a node."""

    def __init__(self, cluster, node):
        argv = [cluster.python, RECORD, node, cluster.shape.address(node)]  # the device has the node's name
        self.process = cluster.popen(argv, stdin=subprocess.PIPE)
        assert read_line(self.process, 20) == "recording\n"

    def end(self, ports):
        """Return what each connection to one of these ports has sent, in hexadecimal digits."""
        streams = json.loads(self.process.communicate(timeout=patient(30))[0])
        return [data for port, data in streams if port in ports]


def send_again(cluster, run, streams):
    """Send recorded streams to every port of a run that works meanwhile."""
    run.order(120)
    with attack(cluster, attack="again", ports=ports(cluster), streams=streams) as done:
        assert done["sent"] >= len(streams) * CONTROLLER_PORTS
        run.check()
    run.work(12)


@pytest.mark.release("24.11")
def test_what_was_recorded_does_nothing_when_it_is_sent_again(cluster):
    """All that the engines of two nodes and the driver sent, to the same run and to the next."""
    recording = Recording(cluster, "n1")
    with Guarded(cluster, "first") as first:
        first.work(12)
        streams = recording.end({port for _, port in ports(cluster)})
        assert len(streams) >= 4 * 7 + 5, "an engine has seven connections, the client five or more"
        send_again(cluster, first, streams)
    with Guarded(cluster, "second") as second:
        send_again(cluster, second, streams)
    assert first.counted() == list(range(first.done))


HOSTILE = "-J x'\"\\\n#SBATCH -N9\n$(touch made-1)`touch made-2`;touch made-3&touch made-4|%j,{} é*"


@pytest.mark.release("22.05")
def test_names_that_a_shell_would_obey_are_only_names(cluster):
    """Of the job, the directory, the script, its arguments, the run's directory and a variable."""
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
