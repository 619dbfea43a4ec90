"""Retries: which tasks of a frame run again after a death, and which parts of a chunk are left."""

from concurrent.futures import Future

import pytest

from hpcml.cluster.dispatch.frames import Frame, Group, Task
from hpcml.cluster.dispatch.futures import ChunkFuture
from hpcml.cluster.dispatch.retries import (
    decide_retries,
    finished_part,
    resolve_outcome,
    send_data_again,
    split_chunk,
)
from hpcml.cluster.joblib.futures import BatchFuture
from hpcml.cluster.map.results import MapResults
from hpcml.data.arguments import Each
from hpcml.data.envelope import Call
from hpcml.data.outcomes import Outcome
from hpcml.errors import DataError, DataMissing, TaskTimeout, WorkerDied

DEATH = WorkerDied("gone", "n1:3")


def one_task():
    return Task(Call(b"f", b"a", "work", "group"), Future())


def chunk(length):
    """Return a chunk of so many calls, as a task of a map, and the results of the map."""
    results = MapResults()
    arguments = Each(tuple(b"%d" % number for number in range(length)))
    call = Call(b"f", arguments, "work", "group", keys=tuple(f"key {number}" for number in range(length)))
    return Task(call, ChunkFuture(results, results.reserve(length))), results


def timeout_error(task, death):
    return TaskTimeout(f"{task.call.name} on {death.worker}")


def decide(tasks, death=DEATH, retries=2, overdue=False):
    return decide_retries(Frame(tasks, Group("group"), overdue=overdue), death, retries, timeout_error)


def test_a_death_before_the_tasks_have_started_counts_for_none_of_them():
    tasks = [one_task(), one_task()]
    assert decide(tasks, WorkerDied("gone", "n1:3", started=False), retries=1) == [(task, None) for task in tasks]
    assert not any(task.deaths or task.alone for task in tasks)


def test_tasks_that_shared_a_frame_are_retried_alone_and_the_death_does_not_count():
    tasks = [one_task(), one_task()]
    assert decide(tasks, retries=1) == [(task, None) for task in tasks]
    assert all(task.alone and not task.deaths for task in tasks)


def test_a_task_that_was_alone_fails_with_the_last_of_its_deaths():
    task = one_task()
    assert decide([task]) == [(task, None)]
    ((again, error),) = decide([task])
    assert again is task
    assert str(error) == "work ended 2 workers (n1:3, n1:3) and is not tried again: gone"


def test_the_calls_of_a_chunk_are_retried_one_by_one():
    task, _ = chunk(3)
    decided = decide([task], retries=1)
    assert [(part.call.keys, part.alone, part.running, error) for part, error in decided] == [
        ((f"key {number}",), True, True, None) for number in range(3)
    ]
    assert all(part.future.whole is task.future for part, _ in decided)


def test_a_chunk_that_has_not_started_stays_whole():
    task, _ = chunk(3)
    assert decide([task], WorkerDied("gone", "n1:3", started=False)) == [(task, None)]


def test_the_task_that_was_overdue_fails_and_companions_of_one_are_retried_alone():
    task = one_task()
    ((_, error),) = decide([task], overdue=True)
    assert isinstance(error, TaskTimeout)
    two = [one_task(), one_task()]
    assert decide(two, overdue=True) == [(one, None) for one in two]
    assert all(one.alone and not one.deaths for one in two)


def test_a_task_of_one_call_is_not_split():
    task = one_task()
    assert split_chunk(task) == [task]


def test_the_rest_of_a_chunk_that_came_back_half_finished_is_run():
    task, results = chunk(5)
    rest = resolve_outcome(task, Outcome(value=["a", "b"], seconds=2.0))
    assert [part.call.keys for part in rest] == [("key 2",), ("key 3",), ("key 4",)]
    assert [results.has(place) for place in range(5)] == [True, True, False, False, False]
    for part, value in zip(rest, "cde", strict=True):
        assert resolve_outcome(part, Outcome(value=[value])) == []
    assert list(results.take(1)) == list("abcde")


def test_short_calls_of_the_rest_stay_together():
    task, _ = chunk(9)
    rest = resolve_outcome(task, Outcome(value=["a"], seconds=1e-4))
    assert sum(part.call.length for part in rest) == 8
    assert len(rest) < 8


def test_the_error_of_a_call_ends_its_chunk():
    task, results = chunk(3)
    assert resolve_outcome(task, Outcome(value=["a"], error=ValueError("bad"))) == []
    taken = results.take(1)
    assert next(taken) == "a"
    with pytest.raises(ValueError, match="bad"):
        next(taken)


def test_the_finished_part_of_a_chunk_has_its_keys_and_with_an_error_all():
    call = chunk(3)[0].call
    assert finished_part(call, Outcome(value=["a"])).keys == ("key 0",)
    assert finished_part(call, Outcome(value=["a"], error=ValueError())).keys == call.keys
    single = one_task().call
    assert finished_part(single, Outcome(value=1)) is single


def test_data_that_is_missing_is_sent_again_or_fails_the_task(caplog):
    sent, task, missing = [], one_task(), DataMissing("3 MB are not on n1", "digest")
    assert send_data_again(task, missing, lambda digest, since: sent.append((digest, since)))
    assert sent == [("digest", task.sent)]
    assert task.data_sent_again == 1
    assert "3 MB are not on n1: sending it again" in caplog.text

    def restore(digest, since):
        raise DataError("no space")

    assert not send_data_again(task, missing, restore)
    with pytest.raises(DataError, match="no space"):
        task.future.result(0)


def test_each_call_of_a_batch_that_died_has_the_result_of_its_fallback():
    batch = BatchFuture(2)
    batch.fallbacks = {0: lambda error: f"0: {error}", 1: lambda error: f"1: {error}"}
    batch.chunk([0, 1]).set_exception(DEATH)
    assert batch.result(30) == ["0: gone", "1: gone"]
