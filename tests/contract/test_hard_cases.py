"""Inputs that broke earlier versions: each of these hung, lost a task or failed the wrong one."""

import contextlib
import functools
import logging
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import wait
from dataclasses import dataclass

import numpy as np
import pytest
import tasks
from joblib import Parallel, delayed
from patience import patient, promised

import hpcml
from hpcml.errors import HpcmlError, WorkerDied

NO_SLURM = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}


@dataclass(frozen=True)
class FrozenError(Exception):
    code: int


class NewError(Exception):
    def __new__(cls, a, b):
        return super().__new__(cls)

    def __init__(self, a, b):
        super().__init__("message")


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self, _):
        self.calls += 1
        return self.calls


def raise_it(kind, *args):
    raise kind(*args)


def raise_with_a_lock():
    error = ValueError("locked")
    error.lock = threading.Lock()
    error.code = 7
    raise error


def log_it(number):
    logging.warning("message %d", number)


def open_a_cluster():
    hpcml.Cluster()


def test_exceptions_with_any_constructor_fail_only_their_task(cluster):
    with pytest.raises(FrozenError):
        cluster.submit(raise_it, FrozenError, 1).result(20)
    with pytest.raises(NewError, match="message"):
        cluster.submit(raise_it, NewError, 1, 2).result(20)
    with pytest.raises(ValueError, match="locked") as caught:
        cluster.submit(raise_with_a_lock).result(20)
    assert caught.value.code == 7
    assert cluster.submit(tasks.add, 1).result(20) == 1


def test_a_callback_that_exits_does_not_stop_the_others(cluster, caplog):
    future = cluster.submit(tasks.leave)
    future.add_done_callback(lambda done: done.result())
    wait([future], timeout=20)
    assert cluster.submit(tasks.add, 1).result(20) == 1


def test_long_tasks_after_short_ones_do_not_queue_on_one_slot(cluster):
    list(cluster.map(tasks.span, [0] * 400))
    spans = list(cluster.map(tasks.span, [0] * 200 + [0.4] * 2 * cluster.slots))[200:]
    assert max(sum(began <= start < ended for began, ended in spans) for start, _ in spans) >= 2


def test_every_task_has_its_function_as_sent(cluster):
    assert set(cluster.map(Counter(), range(300))) == {1}


def test_logging_of_later_frames_arrives(cluster, capfd):
    for number in range(3):
        cluster.submit(log_it, number).result(20)
    printed = capfd.readouterr().err
    assert [number for number in range(3) if f"message {number}" in printed] == [0, 1, 2]


def test_a_call_that_times_out_harms_no_other(cluster, tmp_path):
    list(cluster.map(tasks.span, [0.01] * 50))  # short, so that later frames wait behind others
    marks = tmp_path / "marks"
    innocents = [cluster.submit(tasks.mark_and_sleep, str(marks), 1.0) for _ in range(cluster.slots)]
    time.sleep(0.3)
    with pytest.raises(TimeoutError):
        list(cluster.map(tasks.span, [0.01] * 50, timeout=0.2))
    wait(innocents, timeout=20)
    assert marks.read_text() == "x" * cluster.slots, "each ran once"


def test_a_task_cannot_open_a_cluster(cluster):
    with pytest.raises(HpcmlError, match="cannot open a Cluster of its own"):
        cluster.submit(open_a_cluster).result(20)


def test_a_callback_may_shut_the_cluster_down(tmp_path):
    cluster = hpcml.Cluster("local", slots_per_node=1, run_dir=tmp_path, progress=False)
    closed = threading.Event()
    future = cluster.submit(tasks.add, 1)
    future.add_done_callback(lambda _: (cluster.shutdown(), closed.set()))
    assert closed.wait(20)


def test_a_generator_may_be_consumed_after_the_shutdown(tmp_path):
    with hpcml.Cluster("local", slots_per_node=2, run_dir=tmp_path, progress=False):
        calls = (delayed(pow)(number, 2) for number in range(40))
        results = Parallel(n_jobs=2, backend="hpcml", return_as="generator")(calls)
        next(results)
    with contextlib.suppress(RuntimeError):  # the Cluster was shut down, or all calls were done before
        assert len(list(results)) == 39


def run(tmp_path, text, *before, after=(), **env):
    (tmp_path / "script.py").write_text(text)
    command = [*before, sys.executable, *after, str(tmp_path / "script.py")]
    return subprocess.run(
        command, cwd=tmp_path, env={**NO_SLURM, **env}, capture_output=True, text=True, check=False, timeout=60
    )


def test_submitted_tasks_are_done_at_exit(tmp_path):
    done = run(
        tmp_path,
        "import hpcml, time\nc = hpcml.Cluster(slots_per_node=1)\n"
        "def work(n):\n    time.sleep(0.1)\n    open('out', 'a').write(str(n))\n"
        "futures = [c.submit(work, n) for n in range(4)]\n",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == "0123"


def test_prints_that_the_terminal_cannot_encode_are_escaped(tmp_path):
    done = run(
        tmp_path,
        "import hpcml\nwith hpcml.Cluster(slots_per_node=1) as c:\n"
        "    print(c.submit(print, 'temp\\u00e9rature').exception(10), c.submit(pow, 2, 3).result(10))\n",
        PYTHONIOENCODING="ascii",
    )
    assert done.stdout == f"[{os.uname().nodename}:0] temp\\xe9rature\nNone 8\n", done.stderr


def test_a_forked_child_does_not_close_the_parents_cluster(tmp_path):
    done = run(
        tmp_path,
        "import hpcml, os, sys\nwith hpcml.Cluster('ipyparallel', slots_per_node=1, progress=False) as c:\n"
        "    if os.fork() == 0:\n        sys.exit(0)\n    os.wait()\n"
        "    print(c.submit(pow, 2, 3).result(20))\n",
    )
    assert done.stdout == "8\n", done.stderr


@pytest.mark.parametrize("name", ["PYTHONWARNINGS", "HOME", "IPYTHONDIR"])
def test_variables_that_break_python_programs_do_not_break_workers(tmp_path, name):
    done = run(
        tmp_path,
        "import hpcml\nwith hpcml.Cluster('ipyparallel', slots_per_node=1, progress=False, timeout=20) as c:\n"
        "    print(c.submit(pow, 2, 3).result(20))\n",
        **{name: "error" if name == "PYTHONWARNINGS" else "/proc"},
    )
    assert done.stdout == "8\n", done.stderr


def test_a_run_works_in_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "script.py").write_text(
        "import hpcml\nwith hpcml.Cluster() as c:\n    print(c.submit(pow, 2, 3).result())"
    )
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(
        command, cwd="/proc", env=NO_SLURM, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "8\n"
    assert "The logs go to" in done.stderr


def test_threads_of_a_script_may_outlive_its_main_thread(tmp_path):
    done = run(
        tmp_path,
        "import threading, time, hpcml\nc = hpcml.Cluster()\n"
        "def later():\n    time.sleep(0.4)\n    print(c.submit(pow, 2, 3).result(10))\n"
        "threading.Thread(target=later).start()\n",
        after=["-m", "hpcml", "run", "--slots-per-node=1"],
    )
    assert done.stdout == "8\n", done.stderr


def test_a_result_that_is_too_large_is_an_error_of_its_task(tmp_path):
    options = {"slots_per_node": 2, "run_dir": tmp_path, "progress": False}
    with hpcml.Cluster("local", **options, max_result_nbytes=1_000_000) as cluster:
        large, small = cluster.submit(bytes, 1_000_001), cluster.submit(bytes, 900_000)
        with pytest.raises(hpcml.TaskError, match=r"takes 1,000,\d+ bytes, more than max_result_nbytes=1,000,000"):
            large.result(20)
        assert len(small.result(20)) == 900_000
    with pytest.raises(ValueError, match="max_result_nbytes=0"):
        hpcml.Cluster("local", max_result_nbytes=0)


def test_a_task_that_runs_too_long_is_ended_and_its_worker_replaced(tmp_path):
    limit = patient(1.0)
    with hpcml.Cluster("local", slots_per_node=2, run_dir=tmp_path, progress=False, task_timeout=limit) as cluster:
        began = time.monotonic()
        hangs, short = cluster.submit(time.sleep, 600), cluster.submit(time.sleep, 0.1)
        with pytest.raises(hpcml.TaskTimeout, match=rf"ran longer than task_timeout={limit:g} s on \S+:[01]"):
            hangs.result(patient(20))
        assert time.monotonic() - began < promised(10)
        assert short.result(patient(20)) is None
        assert list(cluster.map(abs, range(-20, 0))) == list(range(20, 0, -1))


def test_engines_that_register_before_the_client_listens_are_found(tmp_path, monkeypatch):
    """The hub announces each engine once; a slow client must not wait for an announcement that was made before."""
    from ipyparallel import util

    connect, connected = util.connect, []

    def slowly(socket, url, **keys):
        connected.append(url)
        if len(connected) == 2:  # after the hub's list of engines, before the subscription to its news
            time.sleep(3)
        return connect(socket, url, **keys)

    monkeypatch.setattr(util, "connect", slowly)
    options = {"slots_per_node": 2, "run_dir": tmp_path, "progress": False, "timeout": 12}
    with hpcml.Cluster("ipyparallel", **options) as opened:
        assert opened.slots == 2 * len(opened.hosts)  # in an allocation there are several
        assert opened.submit(pow, 2, 3).result(20) == 8


def test_imported_random_functions_use_the_workers_generator(cluster):
    """They are sent without their generator: a copy would give each task the same numbers."""
    from random import randint, random

    from numpy.random import rand

    table = {"draw": functools.partial(randint, 0, 10**9)}
    for draw in (lambda _: random(), lambda _: float(rand()), lambda _: table["draw"]()):
        assert len(set(cluster.map(draw, range(200)))) > 190


def test_a_task_that_seeds_the_generator_seeds_the_functions_too(cluster):
    import random

    table = {"draw": functools.partial(random.randint, 0, 10**9)}

    def seeded(seed):
        random.seed(seed)
        return [table["draw"]() for _ in range(3)]

    assert list(cluster.map(seeded, range(20))) == list(map(seeded, range(20)))


def test_a_function_that_holds_a_generator_is_reported_once(cluster, caplog):
    for own in (np.random.default_rng(1), np.random.RandomState(1), random.Random(1)):

        def draw(_, own=own):
            return own.random()

        draw.__qualname__ = name = f"{type(own).__name__} {id(cluster)}"  # reported once in a process
        for _ in range(2):
            assert len(set(cluster.map(draw, range(20)))) < 20
        assert caplog.text.count(f"{name} holds a generator of random numbers: each call gets a copy of it") == 1


def test_a_function_that_makes_its_generator_is_not_reported(cluster, caplog):
    def draw(seed):
        return random.Random(seed).random() + np.random.default_rng(seed).random() + random.random()

    assert len(set(cluster.map(draw, range(20)))) == 20
    assert "generator" not in caplog.text


def test_an_engine_that_cannot_answer_is_replaced(tmp_path):
    """For example one without memory to pack its answer; here, one that cannot read its frame."""
    with hpcml.Cluster("ipyparallel", slots_per_node=1, run_dir=tmp_path, progress=False) as cluster:
        workers = cluster._session.dispatcher._workers
        with pytest.raises(WorkerDied, match="UnpicklingError"):
            workers.submit(b"no frame").result(timeout=30)
        assert cluster.submit(abs, -1).result(timeout=30) == 1
