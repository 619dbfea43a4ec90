"""Programs of nodes: their workers, forked and reaped, and their loop."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from patience import patient, wait_until

from hpcml.engines.nodes.forked import ForkedWorkers
from hpcml.engines.nodes.messages import LineReader
from hpcml.engines.nodes.program import import_modules, watch


@pytest.fixture
def workers():
    """Workers of a node of three slots and two GPUs, whose program's messages nobody reads."""
    output = os.open(os.devnull, os.O_WRONLY)
    made = ForkedWorkers(3, [], output, {"CUDA_VISIBLE_DEVICES": "4,7"})
    yield made
    for process in made.living:
        os.kill(process, signal.SIGKILL)
    made.wait()
    os.close(output)


def opened_files(process):
    """Return the paths of the files that a process has open."""
    return {os.path.realpath(entry.path) for entry in os.scandir(f"/proc/{process}/fd")}


def reaped(workers, count):
    found = {}
    end = time.monotonic() + patient(10)
    while len(found) < count and time.monotonic() < end:
        found.update(workers.reap())
        time.sleep(0.01)
    return found


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_the_cause_of_each_death_is_reported_once(workers):
    for slot, run in enumerate((lambda: 0, lambda: 3, kill_me)):
        workers.fork(slot, run)
    assert sorted(workers.living.values()) == [0, 1, 2]
    assert reaped(workers, 3) == {0: "exit code 0", 1: "exit code 3", 2: "signal SIGKILL"}
    assert workers.living == {}
    assert list(workers.reap()) == []


def test_an_error_of_a_worker_is_printed_and_its_status_is_1(workers, capfd):
    workers.fork(0, lambda: {}[1])
    assert reaped(workers, 1) == {0: "exit code 1"}
    assert "KeyError: 1" in capfd.readouterr().err


def test_a_worker_is_a_process_like_any_other(workers):
    """Group, GPUs of its slot, empty input, handlers as Python sets them; the output of the program is closed."""
    reader, writer = os.pipe()

    def report():
        with suppress(OSError):
            os.write(workers._output, b"a task's")
        seen = (
            os.getpgid(0) == os.getpid(),
            workers._environment["CUDA_VISIBLE_DEVICES"],
            os.read(0, 10),
            signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        )
        os.write(writer, repr(seen).encode())
        return 0

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        workers.fork(2, report)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert reaped(workers, 1) == {2: "exit code 0"}
    assert os.read(reader, 1000) == b"(True, '7', b'', True, True)"
    os.close(reader)
    os.close(writer)


def test_workers_that_were_killed_are_waited_for(workers):
    for slot in (1, 2):
        workers.fork(slot, lambda: signal.pause() or 0)
    processes = list(workers.living)
    for process in processes:
        os.kill(process, signal.SIGKILL)
    assert workers.wait() == [1, 2]
    assert workers.living == {}
    for process in processes:  # not -1: other tests of this process may have children
        with pytest.raises(ChildProcessError):
            os.waitpid(process, os.WNOHANG)


class Supervisor:
    """Looks after one worker that has ended, and notes what `watch` calls."""

    def __init__(self, watched, timeout=None):
        self.watched = watched
        self.timeout = timeout
        self.calls = []

    def forward_prints(self):
        self.calls.append("prints")

    def reap(self):
        self.calls.append("reap")

    def handle(self, message):
        self.calls.append(message)


@pytest.fixture
def signals():
    """Set the signal handling of this process again as it was."""
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, before)


def test_messages_are_handled_until_the_input_ends(signals):
    reader, writer = os.pipe()
    os.write(writer, b'{"one": 1}\n{"two": 2}\n')
    os.close(writer)
    supervisor = Supervisor([])
    watch(supervisor, LineReader(reader))
    os.close(reader)
    assert supervisor.calls[0] == "reap", "workers that ended before are not forgotten"
    assert [call for call in supervisor.calls if isinstance(call, dict)] == [{"one": 1}, {"two": 2}]


def test_a_message_that_came_together_with_an_earlier_one_is_handled_at_once(signals):
    """The reader has it already: nothing more comes that would end a wait for the input."""
    reader, writer = os.pipe()
    os.write(writer, b'{"start": 1}\n{"world": 2}\n')
    inbox = LineReader(reader)
    assert inbox.read(None) == {"start": 1}
    supervisor = Supervisor([], timeout=20.0)
    supervisor.handle = lambda message: (supervisor.calls.append(message), os.close(writer))
    began = time.monotonic()
    watch(supervisor, inbox)
    os.close(reader)
    assert {"world": 2} in supervisor.calls
    assert time.monotonic() - began < supervisor.timeout


LOST_SIGNAL = """
import os, signal, sys
from hpcml.engines.nodes import program
from hpcml.engines.nodes.messages import LineReader

class Supervisor:
    watched, timeout = [], None
    def forward_prints(self): pass
    def handle(self, message): pass
    def reap(self):
        if os.fork() == 0:
            os._exit(0)

os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGTERM))
program.end_on_signals()
try:
    program.watch(Supervisor(), LineReader(0))
finally:
    print("removed", flush=True)
"""


def test_a_signal_that_comes_while_a_worker_is_forked_ends_the_program():
    """Python prints and drops what is raised in a function that it calls at a fork, as those of logging."""
    command = [sys.executable, "-c", LOST_SIGNAL]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.wait(patient(20)) == 1
            assert process.stdout.read() == b"removed\n"
        finally:
            process.kill()


def test_prints_of_more_slots_than_select_can_watch(signals):
    """The pipes of 256 slots are more than 1,024 file descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] <= 1100:
        pytest.skip("no file descriptor beyond 1,024 is allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 1101), limits[1]))
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 1100)
    reader, writer = os.pipe()
    os.close(writer)
    try:
        supervisor = Supervisor([1100])
        watch(supervisor, LineReader(reader))
        assert "prints" in supervisor.calls
    finally:
        for descriptor in (silence, 1100, reader):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_module_that_is_missing_or_broken_is_left_to_the_task(tmp_path, monkeypatch):
    (tmp_path / "broken_module_of_a_node.py").write_text("raise LookupError")
    (tmp_path / "whole_module_of_a_node.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import_modules(["no_module_of_a_node", "broken_module_of_a_node", "whole_module_of_a_node"])
    assert "whole_module_of_a_node" in sys.modules
    del sys.modules["whole_module_of_a_node"]


@pytest.mark.parametrize("program", ["ipyparallel.launcher", "scoop.node"])
def test_a_program_that_waits_for_its_driver_ends_at_a_signal(program):
    command = [sys.executable, "-m", f"hpcml.engines.{program}", "n1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b'{"here": "n1"}\n'
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(patient(20)) == 1
        finally:
            process.kill()


def test_a_program_that_is_ended_while_it_makes_its_directories_leaves_none(tmp_path):
    """The launcher waits to take a directory over when the signal comes."""
    path = tmp_path / "hpcml-run"
    path.mkdir(0o700)
    share = {"slots": 1, "first": 0, "cpus_per_slot": 1, "cpus": []}
    data = {"name": "run", "places": [str(tmp_path)], "shared": ""}
    start = {"nodes": {"n1": share}, "data": data, "engine": {}, "stride": 1, "generation": 1, "ranks": True}
    orders = [{"probe": {"addresses": [], "token": ""}}, {"start": {**start, "directory": str(tmp_path)}}]
    command = [sys.executable, "-m", "hpcml.engines.ipyparallel.launcher", "n1"]
    temporary = {**os.environ, "TMPDIR": str(tmp_path)}
    with (
        (path / "owner").open("w") as owner,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=temporary) as process,
    ):
        fcntl.flock(owner, fcntl.LOCK_EX)
        process.stdin.write("".join(f"{json.dumps(order)}\n" for order in orders).encode())
        process.stdin.flush()
        wait_until(lambda: str(path / "owner") in opened_files(process.pid))
        process.send_signal(signal.SIGTERM)
        owner.close()
        assert process.wait(patient(20)) == 1
    assert list(tmp_path.iterdir()) == []
