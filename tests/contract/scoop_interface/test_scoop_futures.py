"""Functions of `scoop.futures` and `scoop.shared`, called on an open Cluster."""

import threading
import time

import numpy
import pytest
import scoop_tasks as tasks
from scoop_tasks import halves

from hpcml.data.outcomes import RemoteTraceback
from hpcml.errors import HpcmlError
from hpcml.scoop_programs import futures, shared


@pytest.fixture(autouse=True)
def no_constants():
    yield
    shared.forget()


def test_map_keeps_order_and_stops_with_the_shortest(cluster):
    assert list(futures.map(pow, [2, 3, 4], iter([3, 2]))) == [8, 9]
    assert list(futures.map(pow, [], [])) == []
    with pytest.raises(TypeError, match="'pow' is a str, which cannot be called"):
        futures.map("pow", [1])
    with pytest.warns(RuntimeWarning, match=r"futures.map does not pass depth on to the tasks.*functools.partial"):
        assert list(futures.map(abs, [-1], depth=3)) == [1]


def test_errors_come_with_their_remote_traceback(cluster):
    results = futures.map(tasks.fail, [1, 2])
    with pytest.raises(LookupError, match="no 1") as caught:
        next(results)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    future = futures.submit(tasks.fail, 3)
    with pytest.raises(LookupError, match="no 3") as caught:
        future.result()
    assert "in fail" in str(caught.value.__cause__)
    assert future.exception() is future.exceptionValue is caught.value
    assert future.resultValue is None
    with pytest.raises(LookupError, match="no 4"):
        list(futures.map(tasks.nested_error, [4]))


def test_futures_work_within_a_task(cluster):
    for number, found in enumerate(futures.map(tasks.nested, range(3))):
        assert found == {
            "done": (True, False, False, False),
            "called": [number**2],
            "failed": f"no {number}",
            "untaken": "generator",
            "waited": (1, 0),
            "completed": [number**2],
            "reduced": 2,
            "scanned": [3, 2, 5],
        }


def test_wait_and_as_completed_honour_their_timeouts(cluster):
    short, long = futures.submit(tasks.nap, 0), futures.submit(tasks.nap, 0.7)
    assert futures.wait([long, short], return_when=futures.FIRST_COMPLETED) == ({short}, {long})
    assert futures.wait([short, long], 0) == ({short}, {long})
    assert futures.wait([short, long], timeout=0.05) == ({short}, {long})
    with pytest.raises(TimeoutError, match="1 of 2 futures have not ended after 0.05 s"):
        list(futures.as_completed([long, short], 0.05))
    with pytest.raises(TimeoutError, match="not done> after 0.05 s"):
        long.result(0.05)
    assert [future.result() for future in futures.as_completed([long, short])] == [0, 0.7]
    assert futures.wait([long, short]) == ({short, long}, set())
    with pytest.raises(ValueError, match="choose ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION"):
        futures.wait([short], return_when="SOON")


def test_wait_and_as_completed_raise_the_tasks_error_as_scoop_does(cluster):
    bad, long = futures.submit(tasks.fail, 1), futures.submit(tasks.nap, 0.7)
    with pytest.raises(LookupError, match="no 1"):
        futures.wait([long, bad])
    with pytest.raises(LookupError, match="no 1"):
        list(futures.as_completed([bad]))
    assert futures.wait([bad, long], 5, futures.FIRST_EXCEPTION) == ({bad}, {long})
    assert futures.wait([bad, long], 5).not_done == set()


def test_a_waiting_future_can_be_cancelled(cluster):
    *busy, last = [futures.submit(tasks.long_nap) for _ in range(4 * cluster.slots + 1)]
    assert last.cancel()
    assert last.cancelled()
    assert last.done()
    assert type(last.exceptionValue).__name__ == "CancelledError"
    assert futures.wait([last]) == ({last}, set())
    assert [future.cancel() for future in reversed(busy)].count(True) > 0
    for future in busy:
        assert future.cancelled() or future.result() == 0.5


def test_callbacks_run_in_the_thread_that_waits(cluster):
    called = []

    def tell(future):
        called.append((future.result(), futures.submit(abs, -7).result()))

    submitted = [futures.submit(tasks.nap, seconds) for seconds in (0, 0.01, 0.02)]
    for future in submitted:
        future.add_done_callback(tell)
        future.add_done_callback(lambda _: 1 / 0)  # logged
    futures.wait(submitted)
    time.sleep(0.1)
    assert submitted[0].done()
    assert sorted(called) == [(0, 7), (0.01, 7), (0.02, 7)]
    submitted[0].add_done_callback(tell)
    assert called[3] == (0, 7)


def test_reductions_equal_those_of_scoop(cluster):
    for length in (1, 2, 3, 12, 100):
        values = [0.1 * n for n in range(length)]
        assert futures.mapReduce(float, min, values) == 0
        assert futures.mapReduce(float, lambda a, b: a - b, values) == halves(values)
        assert len(futures.mapScan(float, max, iter(values))) == length
    with pytest.raises(IndexError, match="mapReduce of nothing"):
        futures.mapReduce(abs, min, [])
    with pytest.raises(LookupError, match="no 5"):
        futures.mapReduce(tasks.fail, min, [5])


def test_constants_reach_the_tasks_submitted_after_them(cluster):
    before = futures.submit(tasks.constant, "table").result()
    table = numpy.arange(300_000.0)
    shared.setConst(table=table, small=[1, 2])
    assert before is None
    assert shared.getConst("table") is table
    assert list(futures.map(tasks.total, ["table"] * 6)) == [table.sum()] * 6
    assert futures.submit(tasks.constant, "small").result() == [1, 2]
    with pytest.raises(TypeError, match="This constant already exists: small"):
        shared.setConst(other=1, small=3)
    assert shared.getConst("other", timeout=0) is None
    assert cluster.submit(tasks.constant, "small").result() is None  # not one of the program's tasks


def test_constants_that_cannot_be_shared_are_refused(cluster):
    with pytest.raises(HpcmlError, match=r"what is to be broadcast cannot be sent"):
        shared.setConst(handle=threading.Lock())
    assert shared.getConst("handle", timeout=0) is None
    with pytest.raises(HpcmlError, match=r"setConst\(mine=…\) was called in a task"):
        futures.submit(tasks.set_constant, "mine").result()
    with pytest.raises(HpcmlError, match=r"getConst\('never', timeout=inf\) in a task.*Call setConst\(never=…\)"):
        futures.submit(tasks.constant, "never", timeout=float("inf")).result()


def test_a_future_cannot_be_sent_to_a_task(cluster):
    with pytest.raises(HpcmlError, match="cannot be sent to a worker"):
        futures.submit(abs, futures.submit(abs, 1))
