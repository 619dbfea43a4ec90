"""Batches of joblib on a session that the test plays: chunks, staging first, errors that joblib can see."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from patience import patient

from hpcml.cluster.joblib.batches import CLUSTER_LIMIT, Batches
from hpcml.data.arguments import Each, Plain
from hpcml.errors import DataError, TaskError

LARGE = np.arange(50_000)


class Dispatcher:
    """Keeps what is submitted; knows the seconds of a call where the test sets them."""

    def __init__(self):
        self.work = []
        self.abandoned = []
        self.measured = None
        self.submitted = threading.Event()

    def seconds(self, group):
        return self.measured

    def submit(self, calls, new_future):
        self.work += [(call, new_future()) for call in calls]
        self.submitted.set()

    def abandon(self, futures):
        self.abandoned += futures


class Store:
    def __init__(self):
        self.error = None
        self.let_put = threading.Event()
        self.let_put.set()

    def get(self, name):
        return None

    def keep(self, content, owner, key):
        pass

    def put(self, pending):
        assert self.let_put.wait(30)
        if self.error is not None:
            raise self.error
        for content, _ in pending:
            content.staged = True


@pytest.fixture
def session():
    return SimpleNamespace(
        workers=SimpleNamespace(slots=4), dispatcher=Dispatcher(), store=Store(), run_journal=None, monitor=None
    )


@pytest.fixture
def batches(session):
    batches = Batches(session, max_nbytes=1 << 16)
    yield batches
    session.store.let_put.set()
    batches.close(wait=True)


def submit(batches, calls, width=4):
    return batches.submit_batch(calls, "group", width, batches.open_call(CLUSTER_LIMIT, False), lambda _: None)


def numbers(length):
    return [(abs, (number,), {}) for number in range(length)]


def test_calls_of_unknown_length_are_sent_one_by_one(batches, session):
    future = submit(batches, numbers(3))
    assert [call.length for call, _ in session.dispatcher.work] == [1, 1, 1]
    for number, (_, part) in reversed(list(enumerate(session.dispatcher.work))):
        part.set_result(number)
    assert future.result(0) == [0, 1, 2]


def test_short_calls_are_sent_in_chunks(batches, session):
    session.dispatcher.measured = 0.001
    future = submit(batches, numbers(9))
    lengths = [call.length for call, _ in session.dispatcher.work]
    assert sum(lengths) == 9
    assert max(lengths) > 1
    assert all(isinstance(call.arguments, Plain | Each) for call, _ in session.dispatcher.work)
    first = 0
    for length, (_, part) in zip(lengths, session.dispatcher.work, strict=True):
        part.set_result(list(range(first, first + length)))
        first += length
    assert future.result(0) == list(range(9))


def test_calls_of_several_functions_are_no_chunk(batches, session):
    session.dispatcher.measured = 0.001
    submit(batches, [(abs, (1,), {}), (len, ("ab",), {}), (abs, (2,), {})])
    assert [call.length for call, _ in session.dispatcher.work] == [1, 1, 1]


@pytest.mark.parametrize(("jobs", "width"), [(4, None), (9, None), (3, 3)])
def test_fewer_jobs_than_slots_limit_the_frames(batches, session, jobs, width):
    submit(batches, numbers(1), jobs)
    assert session.dispatcher.work[0][0].width == width


@pytest.mark.parametrize("seconds", [None, 0.001])
def test_a_call_that_cannot_be_pickled_fails_the_batch(batches, session, seconds):
    session.dispatcher.measured = seconds
    future = submit(batches, [(abs, (threading.Lock(),), {}), (abs, (threading.Lock(),), {})])
    errors = [(work, part) for work, part in session.dispatcher.work if isinstance(work, BaseException)]
    assert isinstance(errors[0][0], TaskError)
    errors[0][1].set_exception(errors[0][0])
    with pytest.raises(TaskError, match="lock"):
        future.result(0)


def test_data_is_on_the_nodes_before_the_calls_are_queued(batches, session):
    session.store.let_put.clear()
    submit(batches, [(np.sum, (LARGE,), {})])
    assert not session.dispatcher.work
    session.store.let_put.set()
    assert session.dispatcher.submitted.wait(patient(10))
    assert not session.dispatcher.work[0][0].needs_staging


def test_data_that_finds_no_space_fails_the_batch(batches, session):
    session.store.error = DataError("no space on n1")
    future = submit(batches, [(np.sum, (LARGE,), {})])
    with pytest.raises(DataError, match="no space on n1"):
        future.result(patient(10))
    assert not session.dispatcher.work


def test_a_batch_that_is_abandoned_while_it_waits_for_data_is_not_queued(batches, session):
    session.store.let_put.clear()
    first = submit(batches, [(np.sum, (LARGE,), {})])
    second = submit(batches, [(np.sum, (LARGE + 1,), {})])
    batches.abandon([second])
    session.store.let_put.set()
    with pytest.raises(TaskError, match="abandoned before its data was sent"):
        second.result(patient(10))
    assert session.dispatcher.submitted.wait(patient(10))
    assert [part for _, part in session.dispatcher.work] == first.parts
    assert session.dispatcher.abandoned == second.parts


def test_after_the_end_no_batch_is_taken_and_all_are_queued(batches, session):
    submit(batches, [(np.sum, (LARGE,), {})])
    batches.close(wait=True)
    assert session.dispatcher.work
    with pytest.raises(RuntimeError, match="this Cluster is shut down"):
        submit(batches, numbers(1))
