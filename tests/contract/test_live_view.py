"""View of a run while it goes on, as other programs have it by its journal."""

import time

import pytest
from patience import wait_until

from hpcml.commands.report.command import open_journal, read_run
from hpcml.commands.top.command import read_on
from hpcml.commands.top.state import RunState
from hpcml.data.envelope import name_of
from hpcml.errors import TaskTimeout


def current(directory):
    state = RunState("run")
    with open_journal(directory) as reader:
        read_on(reader, state)
    return state


def names(state):
    return sorted(slot.task for slot in state.slots.values() if slot.task)


def test_tasks_are_seen_while_they_run(cluster, tmp_path):
    def wait_for_file(path):
        while not path.exists():
            time.sleep(0.05)

    began = time.time()
    name = name_of(wait_for_file)
    one, other = (cluster.submit(wait_for_file, tmp_path / name) for name in ("one", "other"))
    wait_until(lambda: names(current(cluster.run_dir)) == [name, name])
    (slot, _) = [slot for slot in current(cluster.run_dir).slots.values() if slot.task]
    assert began - 1.1 <= slot.since <= time.time()
    (tmp_path / "one").touch()
    one.result()
    wait_until(lambda: names(current(cluster.run_dir)) == [name])
    (tmp_path / "other").touch()
    other.result()
    wait_until(lambda: names(current(cluster.run_dir)) == [])


def test_a_task_that_ran_too_long_is_in_the_report(cluster, tmp_path):
    options = {"slots_per_node": 1, "run_dir": tmp_path, "task_timeout": 1, "progress": False}
    engine = cluster._session.engine
    with type(cluster)(engine, **options) as limited:
        with pytest.raises(TaskTimeout):
            limited.submit(time.sleep, 60).result()
        directory = limited.run_dir
    report = read_run(directory)
    assert [(failure.error, failure.count) for failure in report.failures] == [("TaskTimeout", 1)]
    assert report.failures[0].slots == [slot.name for slot in report.slots]
    assert 1 <= report.tasks[0].seconds < 60
