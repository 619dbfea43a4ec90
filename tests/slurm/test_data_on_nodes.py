"""Large data on real nodes: sent once to each, stored once, sent again where lost, removed at the end."""

import contextlib
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from patience import patient, wait_until

pytestmark = pytest.mark.release("24.11")  # the rest of the ring runs on both

PROGRAM = Path(__file__).parent / "programs" / "data.py"
SIZE = 20_000_000


class Talk:
    """Program that takes orders: on the login node, or with `batch` in a batch job."""

    def __init__(self, cluster, *options, batch=False, **cluster_options):
        self.errors = cluster.shared_dir / "errors"
        command = [cluster.python, PROGRAM, json.dumps(cluster_options)]
        if batch:
            script = " ".join(shlex.quote(str(word)) for word in command)
            program = cluster.write("job.sh", f"#!/bin/sh\nexec {script} < orders > answers 2> errors\n")
            for name in ("orders", "answers"):
                os.mkfifo(cluster.shared_dir / name)
            sbatch = f"sbatch -Q -W {' '.join(options)} {program}"
            command = ["sh", "-c", f"{sbatch} & cat answers & cat > orders; wait"]
        else:
            command = ["salloc", "--quiet", *options, *command]
        with self.errors.open("w") as errors:
            self.process = cluster.popen(command, stdin=subprocess.PIPE, stderr=errors)
        self.about = self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        return json.loads(line)

    def say(self, order):
        """Send an order and return the tasks' findings: {host: (files, values)}."""
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            return answer["error"]
        hosts = {}
        for worker, files, value in answer["saw"]:
            found = hosts.setdefault(worker.split(":")[0], (set(), set()))
            found[0].update(files.split(","))
            found[1].add(value)
        return hosts

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(patient(30)) == 0, self.errors.read_text()


@pytest.fixture
def talk(cluster):
    """Function that starts the program, which is ended after the test."""
    talks = []

    def start(*options, **more):
        talks.append(Talk(cluster, *(options or ("-N3", "--ntasks-per-node=4")), **more))
        return talks[-1]

    yield start
    for one in talks:
        if one.process.poll() is None:
            one.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(patient(30))


def data_files(cluster, node, place="/dev/shm"):
    """Return the data files on a node: {path: length}."""
    root = cluster.seen_by(node, place)
    found = [path for path in root.glob("hpcml-*/*") if path.name not in ("owner", "verifying")]
    return {f"{place}/{path.relative_to(root)}": path.stat().st_size for path in found}


def received(cluster, before):
    after = cluster.bytes()
    return {node: after[node]["rx"] - before[node]["rx"] for node in cluster.nodes}


def test_every_node_receives_and_stores_the_data_once(cluster, talk):
    program = talk()
    before = cluster.bytes()
    seen = program.say("array 3")
    assert set(seen) == {"n1", "n2", "n3"}
    for node, count in received(cluster, before).items():
        assert SIZE <= count <= 1.05 * SIZE, node
    for node in cluster.nodes:
        files, values = seen[node]
        assert values == {3.0}
        assert len(files) == 1
    before = cluster.bytes()
    program.say("array 3")  # a new array with the same content: the first one's file was removed with it
    for node, count in received(cluster, before).items():
        assert count <= 1.05 * SIZE, node
    program.end()


def test_from_within_the_allocation_the_other_nodes_receive_the_data_once(cluster, talk):
    program = talk(batch=True)
    assert program.about["slots"] == 12
    before = cluster.bytes()
    program.say("hold 5")
    for node, count in received(cluster, before).items():
        assert count <= 1.05 * SIZE, node
        assert list(data_files(cluster, node).values()) == [SIZE]
    assert set(program.say("use")) == {"n1", "n2", "n3"}
    assert all(SIZE not in data_files(cluster, node, "/tmp").values() for node in cluster.nodes)
    program.end()


@pytest.mark.release("22.05")
def test_files_and_directories_are_private_and_freed_data_is_removed(cluster, talk):
    program = talk()
    program.say("hold 1")
    for node in cluster.nodes:
        ((path, length),) = data_files(cluster, node).items()
        assert (length, path.endswith(".part")) == (SIZE, True)
        seen = cluster.seen_by(node, path)
        assert stat.S_IMODE(seen.stat().st_mode) == 0o600
        assert stat.S_IMODE(seen.parent.stat().st_mode) == 0o700
    program.say("use")
    for node in cluster.nodes:
        ((path, length),) = data_files(cluster, node).items()
        assert (length, path.endswith(".part")) == (SIZE, False)
    program.say("drop")
    wait_until(lambda: not any(data_files(cluster, node) for node in cluster.nodes))
    program.end()


@pytest.mark.release("22.05")
@pytest.mark.parametrize("harm", ["removed", "removed before use", "cut", "changed"])
def test_data_that_a_node_has_lost_is_sent_again(harm, cluster, talk):
    program = talk()
    program.say("hold 7")
    if harm == "removed":
        program.say("use")
    ((path, _),) = data_files(cluster, "n2").items()
    file = cluster.seen_by("n2", path)
    if harm.startswith("removed"):
        file.unlink()
    elif harm == "cut":
        os.truncate(file, SIZE - 8)
    else:
        with file.open("r+b") as opened:
            opened.seek(SIZE // 2)
            opened.write(b"\0" * 8)
    seen = program.say("use")
    assert set(seen) == {"n1", "n2", "n3"}
    assert all(values == {7.0} for _, values in seen.values())
    assert program.errors.read_text().count("sending it again") >= 1
    program.end()


def test_workers_that_were_killed_and_replaced_find_the_data(cluster, talk):
    program = talk()
    program.say("hold 2")
    seen = program.say(f"die {cluster.shared_dir}/mark")
    assert all(values == {2.0} for _, values in seen.values())
    assert all(values == {2.0} for _, values in program.say("use").values())
    program.end()


@pytest.fixture
def small(cluster):
    """Function that mounts 10 MB over a directory of a node, until the end of the test."""
    mounted = []

    def mount(node, place):
        command = ["mount", "-t", "tmpfs", "-o", "size=10m,mode=1777", "tmpfs", place]
        subprocess.run(cluster.node_command(node, command), check=True)
        mounted.append((node, place))

    yield mount
    for node, place in mounted:
        subprocess.run(cluster.node_command(node, ["umount", "--lazy", place]), check=True)


def test_full_memory_falls_back_with_one_warning_and_full_places_are_an_error(small, talk):
    small("n2", "/dev/shm")
    program = talk()
    for number in (1, 2):
        seen = program.say(f"array {number}")
        assert all(values == {float(number)} for _, values in seen.values())
        assert all("/tmp/hpcml-" in file for files, _ in seen.values() for file in files)
    assert program.errors.read_text().count("no room for 20,000,000 bytes of data in /dev/shm") == 1
    assert "No space left on device (n2: 10,485,760 bytes free); using /tmp/" in program.errors.read_text()
    small("n3", "/tmp")
    error = program.say("array 3")
    program.end()
    assert "20,000,000 bytes of data cannot be put on the nodes" in error
    assert "Cluster(data_dir=" in error


@pytest.mark.release("22.05")
def test_the_error_of_a_full_last_place_names_node_path_and_bytes(small, talk):
    for place in ("/dev/shm", "/tmp"):
        small("n3", place)
    program = talk()
    error = program.say("array 3")
    program.end()
    assert "20,000,000 bytes of data cannot be put on the nodes" in error
    for place in ("/dev/shm", "/tmp"):
        assert f"{place}/hpcml-" in error
    assert len(re.findall(r"No space left on device \(n3: 10,4\d\d,\d\d\d bytes free\)", error)) == 2


@pytest.mark.release("24.11")
def test_a_shared_file_system_is_used_where_it_is_named(cluster, talk):
    shared = cluster.shared_dir / "data"
    shared.mkdir()
    program = talk(data_dir=str(shared))
    before = cluster.bytes()
    seen = program.say("array 4")
    assert all(values == {4.0} for _, values in seen.values())
    assert all(str(shared) in file for files, _ in seen.values() for file in files)
    assert max(received(cluster, before).values()) < SIZE / 4
    program.end()
    assert not list(shared.iterdir())


@pytest.mark.parametrize(
    "salloc",
    [("-N3", "-n7"), ("-N1", "-n1", ":", "-N2", "-n4"), ("-N2", "-n2", "-c2")],
    ids=["uneven", "heterogeneous", "two nodes"],
)
def test_allocations_of_all_shapes(salloc, cluster, talk):
    program = talk(*salloc)
    seen = program.say("array 6")
    assert set(seen) == set(program.about["hosts"])
    assert all(values == {6.0} for _, values in seen.values())
    program.end()


@pytest.mark.release("24.11")
def test_a_killed_driver_leaves_no_data(cluster, talk):
    program = talk()
    program.say("hold 1")
    (driver,) = [p for p in cluster.processes("login") if str(PROGRAM) in p.argv and "salloc" not in p.argv[0]]
    os.kill(driver.pid, signal.SIGKILL)
    program.process.wait(patient(30))
    wait_until(lambda: not any(cluster.files(node) for node in (*cluster.nodes, "login")), seconds=15)


@pytest.mark.release("22.05")
def test_files_of_a_killed_launcher_are_removed_by_the_next_run(cluster, talk):
    program = talk()
    program.say("hold 1")
    launchers = [p for p in cluster.processes("n2") if "hpcml.engines.ipyparallel.launcher" in " ".join(p.argv)]
    os.kill(min(p.pid for p in launchers), signal.SIGKILL)
    program.end()
    (left,) = cluster.seen_by("n2", "/dev/shm").glob("hpcml-*")
    old = time.time() - 3600
    os.utime(left, (old, old))
    again = talk()
    assert not left.exists()
    again.end()


@pytest.mark.release("24.11")
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_new_data_is_sent_to_the_remaining_nodes(how, cluster, talk):
    program = talk("--no-kill", "-N3", "--ntasks-per-node=4")
    program.say("hold 8")
    getattr(cluster, f"{how}_node")("n3")
    for number in (1, 2):
        seen = program.say(f"array {number}")
        assert set(seen) == {"n1", "n2"}
        assert all(values == {float(number)} for _, values in seen.values())
    assert all(values == {8.0} for _, values in program.say("use").values())
    if how == "freeze":
        cluster.thaw_node("n3")  # otherwise no process there cleans up before Slurm kills them
    program.end()
