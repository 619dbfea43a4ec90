"""`hpcml run --engine scoop` on this computer: SCOOP's interface is unchanged; refused options.

Every script runs in a process of its own, and none of its processes outlives it.
"""

import re
import time
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
from patience import promised

from hpcml import engines
from hpcml.commands import run_scoop as command
from hpcml.engines.scoop import library
from hpcml.errors import EngineError

API = """
import functools, os, sys, time, warnings
import scoop
from scoop import futures, shared

FACTOR = 3

def times(x):
    return FACTOR * x

def where(x):
    time.sleep(0.05)  # long enough for every worker to ask for one
    return os.getpid(), scoop.worker, scoop.IS_ORIGIN

def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper

@logged
def decorated(x):
    return x + 1

class Box:
    def __init__(self, n):
        self.n = n
    def add(self, x):
        return self.n + x

def boxed(box):
    assert type(box) is Box
    return Box(2 * box.n)

def tree(level):
    return 1 if level == 0 else 1 + sum(futures.map(tree, [level - 1] * 2))

def constant(x):
    return shared.getConst("offset", timeout=10) + x

def fails(x):
    raise LookupError(f"no {x}")
"""
MAIN = """
    print(sys.argv[1:], __name__, scoop.SIZE, scoop.IS_ORIGIN)
    places = list(futures.map(where, range(40)))
    assert len(set(places)) == 3 and not any(origin for _, _, origin in places), places
    assert os.getpid() not in {pid for pid, _, _ in places}
    assert scoop.worker not in {worker for _, worker, _ in places}
    assert list(futures.map(times, range(50))) == [3 * n for n in range(50)]
    assert list(futures.map(pow, [2, 3], [5, 2])) == [32, 9]
    assert sorted(futures.map_as_completed(times, range(9))) == [3 * n for n in range(9)]
    assert futures.submit(pow, 2, 10).result() == 1024
    many = [futures.submit(times, n) for n in range(5)]
    assert futures.wait(many).not_done == set()
    assert {future.result() for future in futures.as_completed(many)} == {0, 3, 6, 9, 12}
    late = [futures.submit(times, n) for n in range(3)]
    assert len(futures.wait(late, timeout=10).done) == 3
    assert futures.mapReduce(times, lambda a, b: a + b, range(20)) == 570
    assert futures.mapScan(times, lambda a, b: a + b, range(20))[-1] == 570
    assert list(futures.map(decorated, [1, 2])) == [2, 3]
    boxes = list(futures.map(boxed, [Box(1), Box(2)]))
    assert [box.n for box in boxes] == [2, 4] and type(boxes[0]) is Box
    assert list(futures.map(Box(5).add, [1, 2])) == [6, 7]
    offset = 4
    assert list(futures.map(lambda x: x + offset, [1, 2])) == [5, 6]
    partial = functools.partial(decorated)
    partial.__dict__.update(decorated.__dict__)  # as DEAP's Toolbox.register does
    assert list(futures.map(partial, [1])) == [2]
    assert futures.submit(tree, 5).result() == 63
    shared.setConst(offset=100)
    assert list(futures.map(constant, [1, 2])) == [101, 102]
    for attempt in range(2):
        try:
            list(futures.map(fails, [1]))
        except LookupError as error:
            assert "on " in str(error.__cause__) and "line" in str(error.__cause__)
            assert str(error) == "no 1"
    done = futures.submit(times, 2)
    done.add_done_callback(lambda future: print("called with", future.result()))
    assert done.result() == 6
    assert list(futures.map(times, range(1000))) == [3 * n for n in range(1000)]
    class Long:
        def __len__(self):
            return 10**6
    scoop._types.FutureQueue.timelen(None, Long())  # does not walk the queue; SCOOP's takes 31 s for 10,000 tasks
    print("all is well")
"""


def test_all_of_scoops_interface_works_unchanged(run):
    done = run(API, "a", "b c", main=MAIN, slots=3, env={"PYTHONWARNINGS": "default"})
    assert done.status == 0, done.err
    assert done.out == "['a', 'b c'] __main__ 4 True\ncalled with 6\nall is well\n"
    assert "scoop" not in done.err, "SCOOP's own warnings are not shown"


def test_no_result_is_lost_between_workers_that_serve_each_other(run):
    """Each worker waits for tasks of the eleven others; two of them may connect to each other at once."""
    script = """
        import time
        from scoop import futures
        def leaf(x):
            time.sleep(0.002)
            return x
        def branch(x):
            return sum(futures.map(leaf, range(x, x + 12)))
    """
    for _ in range(4):
        done = run(script, main="print(sum(futures.map(branch, range(60))))", slots=12)
        assert (done.status, done.out) == (0, "25200\n"), done.err


def test_the_opening_line_and_prints_of_workers_are_shown(run, tmp_path):
    script = """
        import sys
        import scoop
        from scoop import futures
        def f(x):
            scoop.logger.info("logged %s", x)
            print("printed", x)
            print("warned", x, file=sys.stderr)
    """
    done = run(script, main="list(futures.map(f, 'ab'))\nprint('end')", options=())
    assert done.status == 0
    assert sorted(done.out.splitlines()) == ["end", "printed a", "printed b"]
    assert {"warned a", "warned b"} < set(done.err.splitlines())
    assert len(re.findall(r"127\.0\.0\.1:\d+.*INFO +logged [ab]", done.err)) == 2
    assert "hpcml: engine scoop, 2 slots on " in done.err
    assert not (tmp_path / ".hpcml").exists()


def test_long_tasks_run_once_and_all_at_the_same_time(run, tmp_path):
    """SCOOP itself repeats tasks of more than 2 s whose parent waits, and runs tasks in the origin."""
    script = """
        import os, time
        from scoop import futures
        def slow(n):
            open(f"begun-{n}-{os.getpid()}", "x").close()
            time.sleep(3)
            return n
    """
    began = time.monotonic()
    done = run(script, main="assert list(futures.map(slow, range(3))) == [0, 1, 2]", slots=3)
    assert done.status == 0, done.err
    begun = [path.name.split("-") for path in tmp_path.glob("begun-*")]
    assert len(begun) == len({pid for _, _, pid in begun}) == 3
    assert time.monotonic() - began < promised(15)


def test_options_without_a_meaning_are_refused(run):
    done = run("raise SystemExit(9)", options=("--task-timeout=3",))
    assert done.status == 1
    assert done.err.startswith("hpcml: --task-timeout does not go with --engine scoop: SCOOP cannot end a task.")
    assert "Traceback" not in done.err
    for name in ("resume", "requeue", "min_slots"):
        arguments = {"resume": False, "requeue": False, "task_timeout": None, "min_slots": None, name: 1}
        with pytest.raises(EngineError, match=f"--{name.replace('_', '-')} does not go with --engine scoop: "):
            command.refuse_options(SimpleNamespace(**arguments))


def test_a_cluster_with_engine_scoop_is_refused():
    with pytest.raises(EngineError, match=r"has no Cluster: type `hpcml run --engine scoop script\.py`"):
        engines.load("scoop")


def test_another_version_of_scoop_is_refused():
    with pytest.raises(EngineError, match=r"has SCOOP 0\.7\.1\.3: type `pip install 'hpcml\[scoop\]'`"):
        library.check_version("0.7.1.3")
    library.check_version("0.7.2.0")


def test_a_missing_scoop_is_named_with_the_command(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    with pytest.raises(EngineError, match=r"does not have: type `pip install 'hpcml\[scoop\]'`"):
        library.load()


def test_scoop_without_a_part_that_is_changed_is_refused():
    loaded = library.load()
    queue = {name: 0 for name in library.USED["types.FutureQueue"] if name != "timelen"}
    types = SimpleNamespace(Future=0, FutureQueue=SimpleNamespace(**queue))
    with pytest.raises(EngineError, match=r"needs types\.FutureQueue\.timelen of SCOOP 0\.7\.2\.0.*pip install"):
        library.check_parts(SimpleNamespace(**{**vars(loaded), "types": types}))
