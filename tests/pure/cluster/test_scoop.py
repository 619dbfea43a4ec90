"""Parts of `hpcml.scoop_programs` that need no Cluster."""

import concurrent.futures
import importlib
import operator
import pickle
import sys
import threading

import pytest

from hpcml.cluster.scoop.future import Future
from hpcml.cluster.scoop.import_path import FOLDER, finish, serve
from hpcml.cluster.scoop.reductions import branches, join_branches, join_scans, reduce_tree, scan_tree
from hpcml.cluster.scoop.task_context import WithConstants
from hpcml.data.envelope import name_of
from hpcml.errors import HpcmlError
from hpcml.journal.call_keys import CallKeys
from hpcml.scoop_programs import futures, shared


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 33])
@pytest.mark.parametrize("depth", [0, 1, 3, 9])
def test_branches_join_to_the_whole_tree(length, depth):
    tuples = [(0.1 * n,) for n in range(length)]
    parts = branches(tuples, depth)
    assert [one for part in parts for one in part] == tuples
    assert len(parts) <= 2**depth
    reduced = (reduce_tree(abs, operator.sub, part) for part in parts)
    assert join_branches(length, depth, operator.sub, reduced) == reduce_tree(abs, operator.sub, tuples)
    scans = (scan_tree(abs, operator.sub, part) for part in parts)
    whole = scan_tree(abs, operator.sub, tuples)
    assert join_branches(length, depth, lambda a, b: join_scans(operator.sub, a, b), scans) == whole
    assert len(whole) == length
    assert whole[-1] == reduce_tree(abs, operator.sub, tuples)


def test_without_a_cluster_the_error_shows_the_command():
    for act in (lambda: futures.map(abs, [1]), lambda: futures.submit(abs, 1), lambda: shared.setConst(a=1)):
        with pytest.raises(HpcmlError, match=r"no Cluster is open(?s:.*)`hpcml run script.py`"):
            act()
    assert shared.getConst("a", timeout=0) is None


def test_a_callback_runs_once_in_the_thread_that_waits():
    inner = concurrent.futures.Future()
    future = Future(abs, (-1,), {}, inner)
    called = []
    future.add_done_callback(lambda done: called.append((done, threading.current_thread())))
    threading.Thread(target=inner.set_result, args=(1,)).start()
    assert future.result(5) == 1
    assert futures.wait([future]).done == {future}
    assert called == [(future, threading.current_thread())]
    with pytest.raises(TypeError, match="a Future stays in the process"):
        pickle.dumps(future)


def test_a_constant_is_awaited(monkeypatch):
    class Opened:
        def broadcast(self, value):
            return value

    monkeypatch.setattr(shared, "current_cluster", Opened)
    threading.Timer(0.1, shared.setConst, kwargs={"late": 5}).start()
    try:
        assert shared.getConst("late", timeout=0.001) is None
        assert shared.getConst("late", timeout=float("inf")) == 5
    finally:
        shared._handles.clear()
        shared.forget()


def test_messages_name_the_called_function():
    assert name_of(WithConstants(operator.add, {}, 1)) == "_operator.add"
    assert name_of(WithConstants(lambda: 0, {}, 1)) == name_of(lambda: 0)


def test_import_scoop_finds_our_modules(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "scoop"]:  # of other tests
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    serve()
    assert sys.path.index(str(FOLDER)) == sys.flags.safe_path
    scoop = importlib.import_module("scoop")
    assert importlib.import_module("scoop.futures") is futures
    assert importlib.import_module("scoop.shared") is shared
    assert importlib.import_module("scoop._types").Future is Future
    assert (scoop.IS_RUNNING, scoop.IS_ORIGIN, scoop.worker.decode().split(":")[1]) == (True, True, "driver")
    with pytest.raises(HpcmlError, match="no Cluster is open"):
        print(scoop.SIZE)
    finish()
    for name in [name for name in sys.modules if name.partition(".")[0] == "scoop"]:
        sys.modules.pop(name)


def test_the_key_of_a_task_does_not_depend_on_the_slots():
    """A run may be resumed on a different number of nodes; see `hpcml.journal.kinds.KEY_IGNORES`."""
    two, three = (WithConstants(operator.add, {}, slots) for slots in (2, 3))
    assert CallKeys().digest(two) == CallKeys().digest(three)
    assert CallKeys().digest(two) != CallKeys().digest(WithConstants(operator.sub, {}, 2))
    assert CallKeys().digest(two) != CallKeys().digest(WithConstants(operator.add, {"a": 1}, 2))
