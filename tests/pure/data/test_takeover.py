"""Directories for data that an earlier process of a run has left, or still uses."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from patience import patient, promised

from hpcml.data.staging import takeover
from hpcml.data.staging.directories import DataDirectories, remove_left

HOLDER = """
import sys
from hpcml.data.staging.directories import DataDirectories
held = DataDirectories("run", [sys.argv[1]])
print(held.paths[0], flush=True)
sys.stdin.read()
held.close()
"""


def holder(place):
    command = [sys.executable, "-c", HOLDER, str(place)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_directory_of_a_killed_owner_is_taken_over_with_its_files(tmp_path):
    with holder(tmp_path) as owner:
        path = owner.stdout.readline().strip()
        Path(path, "file").write_text("data")
        owner.kill()
        owner.wait(patient(10))
    again = DataDirectories("run", [str(tmp_path)], again=True)
    assert again.paths == [path]
    assert Path(path, "file").read_text() == "data"
    again.close()
    assert not list(tmp_path.iterdir())


def test_the_driver_removes_what_a_killed_owner_has_left_on_its_node(tmp_path, monkeypatch):
    """Slurm may kill the step before its programs have done anything."""
    monkeypatch.setattr(takeover, "PREDECESSOR_TIMEOUT_SECONDS", 0.3)
    with holder(tmp_path) as owner:
        path = owner.stdout.readline().strip()
        Path(path, "file").write_text("data")
        remove_left("run", [str(tmp_path)])
        assert Path(path, "file").exists(), "its owner lives"
        owner.kill()
        owner.wait(patient(10))
    remove_left("another", [str(tmp_path)])
    assert Path(path, "file").exists()
    remove_left("run", [str(tmp_path), "/no/such/place"])
    assert not list(tmp_path.iterdir())


def test_an_owner_that_is_ending_is_awaited(tmp_path):
    with holder(tmp_path) as owner:
        path = owner.stdout.readline().strip()
        threading.Timer(0.5, owner.stdin.close).start()
        again = DataDirectories("run", [str(tmp_path)], again=True)
        assert owner.wait(patient(10)) == 0
    assert again.paths == [path]
    again.close()


def test_a_directory_whose_owner_runs_on_is_not_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(takeover, "PREDECESSOR_TIMEOUT_SECONDS", 0.3)
    with holder(tmp_path) as owner:
        owner.stdout.readline()
        assert DataDirectories("run", [str(tmp_path)], again=True).paths == []
        owner.stdin.close()


def test_a_directory_of_another_user_is_not_taken_over(tmp_path, monkeypatch):
    (tmp_path / "hpcml-run").mkdir()
    (tmp_path / "hpcml-run" / "owner").touch()
    began = time.monotonic()
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert takeover.take_over(str(tmp_path / "hpcml-run")) is None
    assert time.monotonic() - began < promised(5)


KILLED_IN_REMOVAL = """
import os, signal, sys
from hpcml.data.staging.directories import DataDirectories

directories = DataDirectories("run", [sys.argv[1]])
for name in ("a", "b"):
    open(os.path.join(directories.paths[0], name), "x").close()
left = int(sys.argv[2])
for name in ("unlink", "rmdir"):
    def call(*arguments, original=getattr(os, name), **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        original(*arguments, **options)
    setattr(os, name, call)
directories.close()
"""


@pytest.mark.parametrize("calls", range(4))
def test_a_process_that_is_killed_while_it_removes_a_directory_leaves_none(calls, tmp_path):
    """After so many files are removed; the directory has two and its lock."""
    for successor in (False, True):
        command = [sys.executable, "-c", KILLED_IN_REMOVAL, str(tmp_path), str(calls)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert (tmp_path / "hpcml-run").is_dir()
        if successor:
            again = DataDirectories("run", [str(tmp_path)], again=True)
            assert again.paths == [str(tmp_path / "hpcml-run")]
            again.close()
        else:
            remove_left("run", [str(tmp_path)])
        assert not list(tmp_path.iterdir())
