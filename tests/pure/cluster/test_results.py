"""Results of a map: in order, while another thread fills them."""

import itertools
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcml.cluster.dispatch.futures import ChunkFuture
from hpcml.cluster.map.results import MapResults


@given(st.permutations(range(12)), st.sets(st.integers(1, 11)))
def test_values_come_in_order_whatever_the_order_of_their_tasks(order, cuts):
    results = MapResults()
    bounds = [0, *sorted(cuts), 12]
    futures = []
    for begin, end in itertools.pairwise(bounds):
        if end - begin == 1:
            futures.append((results.new_call(), begin))
        else:
            futures.append((ChunkFuture(results, results.reserve(end - begin)), list(range(begin, end))))
    for number in sorted(range(len(futures)), key=order.index):
        future, value = futures[number]
        future.set_result(value)
    assert list(results.take(0)) == list(range(12))


def test_the_taker_is_woken_for_the_result_that_it_waits_for():
    results = MapResults()
    futures = [results.new_call() for _ in range(3)]

    def fill():
        for number in (2, 0, 1):
            time.sleep(0.02)
            futures[number].set_result(number)

    thread = threading.Thread(target=fill)
    thread.start()
    assert list(results.take(30)) == [0, 1, 2]
    thread.join()


def test_the_timeout_counts_from_the_call():
    results = MapResults()
    results.new_call().set_result("a")
    results.new_call()
    taken = results.take(0.05)
    assert next(taken) == "a"
    with pytest.raises(TimeoutError, match="result 2 of 2 did not come in time"):
        next(taken)


def test_the_error_of_a_task_is_raised_in_its_place():
    results = MapResults()
    first, second = results.new_call(), results.new_call()
    second.set_exception(ValueError("of the second"))
    first.set_result("a")
    taken = results.take(0)
    assert next(taken) == "a"
    with pytest.raises(ValueError, match="of the second"):
        next(taken)


def test_an_error_of_a_chunk_leaves_the_values_that_are_there():
    results = MapResults()
    chunk = ChunkFuture(results, results.reserve(3))
    chunk.part(0, 1).set_result(["a"])
    chunk.set_exception(ValueError("bad"))
    taken = results.take(0)
    assert next(taken) == "a"
    with pytest.raises(ValueError, match="bad"):
        next(taken)


def test_a_value_that_is_taken_is_held_no_longer():
    class Large:
        pass

    import weakref

    results = MapResults()
    results.new_call().set_result(Large())
    results.new_call().set_result("b")
    taken = results.take(0)
    value = next(taken)
    gone = weakref.ref(value)
    del value
    assert gone() is None
    assert next(taken) == "b"
