"""The state of the script is that of its tasks: directory, environment, umask, sys.path, sys.argv."""

import importlib
import os
import signal
import sys

import pytest
import tasks

from hpcml.errors import HpcmlError

VARIABLES = ("HPCML_RATE", "HOME", "OMP_NUM_THREADS")
SECONDS = 100


def around(_=None):
    mask = os.umask(0)
    os.umask(mask)
    return os.getcwd(), [os.environ.get(name) for name in VARIABLES], mask, sys.argv


@pytest.fixture
def script(monkeypatch):
    """Restore directory, umask and variables after a test that changes them."""
    directory, mask = os.getcwd(), os.umask(0o022)
    yield monkeypatch
    os.chdir(directory)
    os.umask(mask)


def everywhere(cluster):
    """Return the surroundings of tasks, equal in several tasks on each slot."""
    found = list(cluster.map(tasks.slow_who, [0.05] * cluster.slots))
    seen = [cluster.submit(around).result(SECONDS) for _ in range(2 * cluster.slots)]
    assert found
    assert all(one == seen[0] for one in seen)
    return seen[0]


def test_changes_of_the_script_reach_tasks_and_are_undone_with_it(cluster, script, tmp_path):
    before = everywhere(cluster)
    assert before[0] == os.getcwd()
    (tmp_path / "results").mkdir()
    os.chdir(tmp_path / "results")
    os.umask(0o077)
    script.setenv("HPCML_RATE", "0.5")
    script.delenv("HOME")
    script.setattr(sys, "argv", ["my script", "--an option"])
    assert everywhere(cluster) == (
        str(tmp_path / "results"), ["0.5", None, before[1][2]], 0o077, ["my script", "--an option"]
    )  # fmt: skip
    script.undo()
    os.chdir(before[0])
    os.umask(0o022)
    assert everywhere(cluster) == before


def test_the_slots_own_variables_stay_unless_the_script_sets_them(cluster, script):
    own = cluster.submit(around).result(SECONDS)[1][2]
    assert own == "1"
    script.setenv("HPCML_RATE", "1")
    assert cluster.submit(around).result(SECONDS)[1] == ["1", os.environ.get("HOME"), own]
    script.setenv("OMP_NUM_THREADS", "7")
    assert cluster.submit(around).result(SECONDS)[1][2] == "7"
    script.undo()
    assert cluster.submit(around).result(SECONDS)[1] == [None, os.environ.get("HOME"), own]


def test_a_replaced_worker_has_the_changes_too(cluster, script, tmp_path):
    before = cluster.submit(around).result(SECONDS)
    os.chdir(tmp_path)
    script.setenv("HPCML_RATE", "0.5")
    for number in range(cluster.slots):
        assert cluster.submit(tasks.die, str(tmp_path / str(number))).result(SECONDS) == "survived"
    assert everywhere(cluster)[:2] == (str(tmp_path), ["0.5", *before[1][1:]])
    script.undo()
    os.chdir(before[0])
    assert everywhere(cluster) == before


def test_tasks_have_the_surroundings_of_their_submission(cluster, script, tmp_path):
    here = os.getcwd()
    blockers = [cluster.submit(tasks.slow_who, 0.3) for _ in range(cluster.slots)]
    os.chdir(tmp_path)
    script.setenv("HPCML_RATE", "2")
    inside = [cluster.submit(around) for _ in range(6)]
    os.chdir(here)
    script.undo()
    outside = [cluster.submit(around) for _ in range(6)]
    assert {(one.result(SECONDS)[0], one.result(SECONDS)[1][0]) for one in inside} == {(str(tmp_path), "2")}
    assert {(one.result(SECONDS)[0], one.result(SECONDS)[1][0]) for one in outside} == {(here, None)}
    assert all(blocker.result(SECONDS) for blocker in blockers)


def import_and_ask(name):
    return importlib.import_module(name).VALUE


def test_relative_entries_of_sys_path_work_in_tasks(cluster, script, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "relatively_found.py").write_text("VALUE = 7\n")
    os.chdir(tmp_path)
    script.syspath_prepend("lib")
    assert list(cluster.map(import_and_ask, ["relatively_found"] * 6)) == [7] * 6


def write_here(name):
    with open(name, "w") as file:
        file.write(name)


def test_relative_files_of_tasks_are_in_the_scripts_directory(cluster, script, tmp_path):
    os.chdir(tmp_path)
    names = [f"{number}.txt" for number in range(9)]
    list(cluster.map(write_here, names))
    assert sorted(os.listdir()) == names


def change(name, value):
    os.environ[name] = value
    return os.getpid()


def test_a_variable_set_by_a_task_stays_in_its_process_as_with_loky(cluster, script):
    changed = {cluster.submit(change, "HPCML_TASKS", "task").result(SECONDS) for _ in range(4 * cluster.slots)}
    script.setenv("HPCML_OTHER", "1")  # of another variable
    found = [cluster.submit(value_and_pid).result(SECONDS) for _ in range(4 * cluster.slots)]
    assert {value for value, pid in found if pid in changed} == {"task"}
    script.setenv("HPCML_TASKS", "script")
    assert cluster.submit(value_and_pid).result(SECONDS)[0] == "script"


def value_and_pid():
    return os.environ.get("HPCML_TASKS"), os.getpid()


def test_a_missing_working_directory_is_named(cluster, script, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    pid = cluster.submit(os.getpid).result(SECONDS)
    gone.rmdir()
    os.kill(pid, signal.SIGKILL)
    errors = []
    for _ in range(100):
        error = cluster.submit(tasks.slow_who, 0.1).exception(SECONDS)
        errors += [error] if error is not None else []
        if errors:
            break
    host = os.uname().nodename
    assert isinstance(errors[0], HpcmlError)
    assert f"the script's working directory, {gone}, cannot be entered on {host}: No such file" in str(errors[0])
