"""State of the script on a worker: adopted where it differs; variables of the worker itself stay."""

import os
import pickle
import subprocess
import sys

import pytest

from hpcml.data.process_state import ScriptState


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = ScriptState(str(tmp_path), dict(os.environ))
    yield found
    found.close()


def unpacked(packed):
    names = ("directory", "moved", "umask", "path", "argv", "authkey", "prefixes", "changes")
    return dict(zip(names, pickle.loads(packed), strict=True))


def test_the_pack_is_the_same_while_nothing_changes(state):
    assert state.pack() is state.pack()


def test_changes_of_the_environment(state, monkeypatch):
    monkeypatch.setenv("HPCML_TEST_NEW", "1")
    monkeypatch.delenv("PATH")
    changes = unpacked(state.pack())["changes"]
    changes.pop("PYTEST_CURRENT_TEST", None)
    assert changes == {"HPCML_TEST_NEW": "1", "PATH": None}


def test_directory_path_arguments_and_umask(state, tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    assert not unpacked(state.pack())["moved"]
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.setattr(sys, "path", ["/a", *sys.path])
    monkeypatch.setattr(sys, "argv", ["program", "-x"])
    old = os.umask(0o027)
    try:
        found = unpacked(state.pack())
    finally:
        os.umask(old)
    assert (found["directory"], found["moved"]) == (str(tmp_path / "below"), True)
    assert (found["path"][0], found["argv"], found["umask"]) == ("/a", ("program", "-x"), 0o027)


def test_a_removed_directory_leaves_the_last_one(state, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    before = unpacked(state.pack())
    gone.rmdir()
    assert unpacked(state.pack())["directory"] == before["directory"] == str(gone)


WORKER = """
import os, pickle, sys
from hpcml.data.process_state import adopt_script_state, set_start_state

def adopt(directory, moved, changes, **more):
    state = dict(directory=directory, moved=moved, umask=0o077, path=("/new",), argv=("prog",), authkey=b"key")
    state["prefixes"] = ("", "")
    return adopt_script_state(pickle.dumps((*(state | more).values(), changes)))

start = os.getcwd()
set_start_state(start, {**os.environ, "OWN": "worker", "BASE": "start"})
assert adopt(start, False, {"NEW": "1", "BASE": None}) is None
assert os.environ["NEW"] == "1" and "BASE" not in os.environ and os.environ["OWN"] == "worker"
assert sys.path[0] == "/new" and sys.argv == ["prog"] and os.umask(0o077) == 0o077
os.environ["TASK"] = "set by a task"
os.mkdir("below")
assert adopt(start + "/below", True, {"NEW": "2"}) is None
assert os.getcwd() == start + "/below" and os.environ["NEW"] == "2" and os.environ["BASE"] == "start"
assert os.environ["TASK"] == "set by a task"
refusal = adopt(start + "/missing", True, {})
assert "cannot be entered" in str(refusal) and "all nodes share" in str(refusal)
assert adopt(start, False, {}) is None
assert os.getcwd() == start and "NEW" not in os.environ
"""


def test_a_worker_adopts_what_differs(tmp_path):
    subprocess.run([sys.executable, "-c", WORKER], cwd=tmp_path, check=True, timeout=100)


def test_the_path_of_a_worker_names_the_copy_of_the_scripts_python(tmp_path):
    program = (
        "import os, sys; from hpcml.data.process_state import adopt_script_state\n"
        "real = sys.path[:]\n"
        "sys.prefix, sys.base_prefix = '/copy/env', '/copy/base'\n"
        "assert adopt_script_state(sys.stdin.buffer.read()) is None\n"
        "print([entry for entry in sys.path if entry not in real])"
    )
    path = ("/home/me", "/home/me/lib/python3.11/site-packages", "/opt/python/lib/python3.11", "/home/me/src")
    prefixes = ("/home/me", "/opt/python")
    packed = pickle.dumps((str(tmp_path), False, None, path, (), b"", prefixes, {}))
    done = subprocess.run([sys.executable, "-c", program], input=packed, capture_output=True, check=True)
    expected = ["/home/me", "/copy/env/lib/python3.11/site-packages", "/copy/base/lib/python3.11", "/home/me/src"]
    assert done.stdout.decode().strip() == str(expected)
