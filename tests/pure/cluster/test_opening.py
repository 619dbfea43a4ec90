"""The start of workers, in the caller's thread or in one of its own."""

import itertools
import os
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from hpcml.cluster import opening
from hpcml.cluster.opening import Running, Start, make_plan
from hpcml.cluster.options import Options
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.nodes import Node

READY = Running(None, None, None, None)


@pytest.fixture
def plan(tmp_path):
    return Plan(nodes=(), allocation=None, run_dir=tmp_path, environment={}, timeout=30.0)


def fail():
    raise EngineError("no worker came")


def test_a_start_in_this_thread_raises_at_once_and_later(plan):
    start = Start(fail, plan)
    assert not start.has_begun
    with pytest.raises(EngineError, match="no worker came") as raised:
        start.run()
    assert start.has_begun
    assert start.error() is raised.value
    assert start.has_failed_with(raised.value)
    assert not start.has_failed_with(EngineError("no worker came"))


def test_a_start_in_a_thread_is_waited_for(plan):
    let_start = threading.Event()
    start = Start(lambda: let_start.wait(30) and READY, plan)
    start.run_in_thread()
    assert not start.has_failed_with(EngineError())
    let_start.set()
    assert start.wait() is READY
    assert start.error() is None


def test_an_error_is_unreported_until_a_caller_has_waited(plan):
    start = Start(fail, plan)
    start.run_in_thread()
    error = start.error()
    assert start.unreported_error is error
    with pytest.raises(EngineError, match="no worker came"):
        start.wait()
    assert start.unreported_error is None


def test_the_error_of_a_start_that_is_not_wanted_is_not_reported(plan):
    plan.unwanted.set()
    start = Start(fail, plan)
    start.run_in_thread()
    assert start.error() is not None
    assert start.unreported_error is None


def test_a_start_that_does_not_end_is_an_error_that_names_the_logs(plan, monkeypatch):
    monkeypatch.setattr(opening, "START_GRACE_SECONDS", 0.05 - plan.timeout)
    let_end = threading.Event()
    start = Start(lambda: let_end.wait(30) and READY, plan)
    start.run_in_thread()
    error = start.error()
    let_end.set()
    assert str(error) == f"the start of the workers has not ended after 0.05 s; the logs are in {plan.run_dir}"
    assert start.wait() is READY


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks_of_other_threads_wait_for_the_end_of_the_start(plan):
    ended = []

    def begin():
        time.sleep(0.2)
        ended.append(True)
        return READY

    start = Start(begin, plan)
    start.run_in_thread()
    child = os.fork()
    if child == 0:
        os._exit(0 if ended else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def project():
    """Directory with an image and a stand-in for Apptainer; not in /tmp, which each container shows."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        path = Path(directory)
        (path / "apptainer").touch(0o755)
        (path / "ml.sif").touch()
        for name in ("work", "modules", "data"):
            (path / name).mkdir()
        yield path


def test_workers_in_a_container_see_the_directories_of_the_script_and_of_data(project, monkeypatch):
    monkeypatch.chdir(project / "work")
    monkeypatch.setattr("sys.path", [str(project / "modules")])
    made = partial(
        make_plan,
        allocation=Allocation(7, (Node("n1", 2),), "batch"),
        options=Options(container="../ml.sif", data_dir=project / "data"),
        environment={"PATH": str(project)},
        cpus=2,
        run_dir=project / "work/.hpcml/run",
        session=1,
    )
    words = made(engine="ipyparallel").container.command
    shown = {after for before, after in itertools.pairwise(words) if before == "--bind"}
    assert shown == {"/tmp", *(str(project / name) for name in ("work", "modules", "data"))}
    assert words[-1] == str(project / "ml.sif")
    with pytest.raises(EngineError, match="these are on this computer"):
        made(engine="local")
