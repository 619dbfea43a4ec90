"""Futures over places in a results object, as a map and a batch of joblib have them."""

import pytest

from hpcml.cluster.dispatch.frames import Task, belongs_to_any, fail_all
from hpcml.cluster.dispatch.futures import CallFuture, ChunkFuture, resolve, resolve_recorded
from hpcml.cluster.joblib.futures import BatchFuture
from hpcml.cluster.map.results import MapResults
from hpcml.data.envelope import Call, RecordedOutcome
from hpcml.data.outcomes import Outcome
from hpcml.errors import TaskTimeout, WorkerDied


class Observer:
    def __init__(self):
        self.seen = []

    def restored(self, recorded):
        self.seen.append(recorded)


def of_map(length):
    results = MapResults()
    results.reserve(length)
    return results


@pytest.fixture(params=[of_map, BatchFuture])
def results(request):
    return request.param(4)


def test_a_call_fills_its_place_and_no_other(results):
    future = CallFuture(results, (2,))
    assert future.set_running_or_notify_cancel()
    assert not future.done()
    future.set_result([1, 2])  # a value that is a list is no list of values
    assert [results.has(place) for place in range(4)] == [False, False, True, False]
    assert future.done()


def test_a_chunk_is_done_when_all_its_calls_are(results):
    chunk = ChunkFuture(results, [0, 1, 3])
    first, rest = chunk.part(0, 1), chunk.part(1, 3)
    first.set_result(["a"])
    assert first.done()
    assert not chunk.done()
    rest.set_result(["b", "d"])
    assert chunk.done()
    assert not results.has(2)


def test_parts_belong_to_the_future_that_was_submitted(results):
    chunk = ChunkFuture(results, range(4))
    part = chunk.part(1, 4).part(0, 2)
    assert list(part.places) == [1, 2]
    assert part.whole is chunk
    assert chunk.whole is chunk
    task = Task(Call(b"", b"", "", ""), part)
    assert belongs_to_any(task, {chunk})
    assert not belongs_to_any(task, {ChunkFuture(results, range(4))})


def test_an_error_ends_all_calls_of_a_chunk(results):
    chunk = ChunkFuture(results, range(4))
    chunk.set_exception(ValueError("bad"))
    assert chunk.done()


def test_a_future_that_is_done_is_not_resolved_again(results):
    future = CallFuture(results, (0,))
    resolve(future, "first")
    resolve(future, "second")
    resolve(future, error=ValueError())
    resolve(ChunkFuture(results, [1, 2, 3]), ["b", "c", "d"])
    values = results.result(0) if isinstance(results, BatchFuture) else list(results.take(0))
    assert values == ["first", "b", "c", "d"]


def test_what_a_callback_raises_is_logged(caplog):
    batch = BatchFuture(1)
    batch.set_result = lambda _: (_ for _ in ()).throw(SystemExit(3))
    resolve(batch.call(0), "value")
    assert "a callback of a future failed" in caplog.text


def test_a_recorded_outcome_is_observed_first_and_an_error_is_not():
    observer, batch = Observer(), BatchFuture(2)
    recorded = RecordedOutcome(Outcome(value="a"), "group")
    resolve_recorded(batch.call(0), recorded, observer)
    assert observer.seen == [recorded]
    resolve_recorded(batch.call(1), ValueError("not packed"), observer)
    assert observer.seen == [recorded]
    with pytest.raises(ValueError, match="not packed"):
        batch.result(0)


def test_a_batch_fails_with_its_first_error_and_wants_no_more():
    batch = BatchFuture(3)
    batch.call(1).set_exception(ValueError("first"))
    batch.call(2).set_exception(ValueError("second"))
    assert not batch.call(0).set_running_or_notify_cancel()
    with pytest.raises(ValueError, match="first"):
        batch.result(0)
    fail_all([Task(Call(b"", b"", "", ""), batch.call(0))], ValueError("third"))
    assert not batch.has(0)


@pytest.mark.parametrize("error", [WorkerDied("gone"), TaskTimeout("late")])
def test_a_fallback_gives_the_result_of_a_call_that_died_or_ran_too_long(error):
    batch = BatchFuture(2)
    batch.fallbacks[0] = lambda error: f"score of {error}"
    batch.call(1).set_result("b")
    batch.call(0).set_exception(error)
    assert batch.result(30) == [f"score of {error}", "b"]


def test_a_fallback_is_for_deaths_alone_and_its_own_error_ends_the_batch():
    batch = BatchFuture(1)
    batch.fallbacks[0] = lambda error: "never"
    batch.call(0).set_exception(ValueError("of the task"))
    with pytest.raises(ValueError, match="of the task"):
        batch.result(0)
    other = BatchFuture(1)
    other.fallbacks[0] = lambda error: 1 / 0
    other.call(0).set_exception(WorkerDied("gone"))
    with pytest.raises(ZeroDivisionError):
        other.result(30)


def test_the_parts_of_a_batch_are_all_that_the_dispatcher_has():
    batch = BatchFuture(3)
    assert batch.parts == []
    call, chunk = batch.call(0), batch.chunk([1, 2])
    assert batch.parts == [call, chunk]
