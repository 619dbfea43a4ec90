"""Checkpoint files: damaged ones, places that cannot be written, and locks of other processes."""

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from patience import promised

from hpcml.errors import HpcmlError
from hpcml.journal import file_locks
from hpcml.journal.checkpoint import Checkpoint


def write(path, *contents):
    with Checkpoint(path) as checkpoint:
        for content in contents:
            checkpoint.write(lambda content=content: content)


def read(path):
    with Checkpoint(path) as checkpoint:
        return checkpoint.read() if checkpoint.exists() else None


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_previous_file_is_read_only_where_the_newest_is_damaged(tmp_path):
    path = tmp_path / "state"
    write(path, b"one", b"two")
    assert read(path) == b"two"
    damage(path)
    assert read(path) == b"one"
    path.unlink()
    with Checkpoint(path) as checkpoint:
        assert not checkpoint.exists()
        with pytest.raises(HpcmlError, match="no checkpoint to resume from"):
            checkpoint.read()


def test_a_new_checkpoint_removes_the_previous_ones(tmp_path):
    path = tmp_path / "state"
    write(path, b"one", b"two")
    path.unlink()
    write(path, b"new")
    damage(path)
    with pytest.raises(HpcmlError, match="remove the file to begin anew"):
        read(path)


@pytest.mark.parametrize("reads", [True, False])
def test_a_damaged_file_does_not_replace_the_previous_one(reads, tmp_path):
    path = tmp_path / "state"
    write(path, b"one", b"two")
    damage(path)
    with Checkpoint(path) as checkpoint:
        if reads:
            assert checkpoint.read() == b"one"
        checkpoint.write(lambda: b"three")
    assert read(path) == b"three"
    damage(path)
    assert read(path) == b"one"


def test_a_process_killed_while_writing_leaves_no_file_for_good(tmp_path):
    program = (
        "import os, signal, sys\nfrom hpcml.journal.checkpoint import Checkpoint\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Checkpoint(sys.argv[1]).write(lambda: b'killed')\n"
    )
    path = tmp_path / "state"
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program, path], check=False)
        assert done.returncode == -signal.SIGKILL
    assert sorted(os.listdir(tmp_path)) == ["state.lock", "state.new"]
    write(path, b"one", b"two")
    assert sorted(os.listdir(tmp_path)) == ["state", "state.lock", "state.previous"]
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in os.listdir(tmp_path)} == {0o600}


def test_a_place_where_nothing_can_be_written_is_named(tmp_path, monkeypatch):
    with pytest.raises(HpcmlError, match=f"there is no directory {tmp_path}/none"):
        Checkpoint(tmp_path / "none/state")
    with pytest.raises(HpcmlError, match="is a directory"):
        Checkpoint(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(HpcmlError, match=f"no directory {tmp_path}/file"):
        Checkpoint(tmp_path / "file/state")
    with pytest.raises(HpcmlError, match="directory /proc: "):
        Checkpoint("/proc/state")
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)
        with pytest.raises(HpcmlError, match=f"directory {tmp_path}: Permission denied"):
            Checkpoint(tmp_path / "state")


HOLD = (
    "import sys, time\nfrom hpcml.journal.checkpoint import Checkpoint\n"
    "checkpoint = Checkpoint(sys.argv[1])\nprint('held', flush=True)\ntime.sleep(60)\n"
)


def test_a_second_process_is_refused_naming_the_first(tmp_path):
    path = tmp_path / "state"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            began = time.monotonic()
            with pytest.raises(HpcmlError, match=f"process {process.pid} on .* is at work"):
                Checkpoint(path)
            assert time.monotonic() - began < promised(1)
        finally:
            process.kill()
    write(path, b"one")


def test_a_closed_checkpoint_can_be_opened_again(tmp_path):
    first = Checkpoint(tmp_path / "state")
    with pytest.raises(HpcmlError, match=r"a method close\(\)"):
        Checkpoint(tmp_path / "state")
    first.close()
    second = Checkpoint(tmp_path / "state")
    del second
    write(tmp_path / "state", b"one")


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    first = Checkpoint(tmp_path / "state")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.write(writer, b"x")
            time.sleep(60)
        os._exit(0)
    try:
        assert os.read(reader, 1) == b"x"
        with pytest.raises(HpcmlError):
            Checkpoint(tmp_path / "state")
        first.close()
        write(tmp_path / "state", b"one")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_a_file_system_without_locks_is_accepted(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Checkpoint(tmp_path / "state"), Checkpoint(tmp_path / "state"):
        pass
    assert file_locks.fcntl is fcntl


def test_a_lock_that_others_can_open_is_refused(tmp_path):
    (tmp_path / "state.lock").touch(mode=0o666)
    (tmp_path / "state.lock").chmod(0o666)
    with pytest.raises(HpcmlError, match="chmod"):
        Checkpoint(tmp_path / "state")


def test_a_lock_of_another_node_is_awaited(tmp_path, monkeypatch):
    """A node that died held the lock, and its file system has not noticed yet."""
    monkeypatch.setattr("hpcml.journal.checkpoint_lock.LOCK_TIMEOUT_SECONDS", 0.5)
    with open(tmp_path / "state.lock", "w") as other:
        (tmp_path / "state.lock").chmod(0o600)
        other.write("process 7 on another-node")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(HpcmlError, match="process 7 on another-node is at work"):
            Checkpoint(tmp_path / "state")
        threading.Timer(0.3, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        Checkpoint(tmp_path / "state").close()
