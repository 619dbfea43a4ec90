"""Dispatcher, on workers whose answers the test gives by hand."""

import threading
import time
from concurrent.futures import CancelledError, Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import patient

from hpcml.cluster.dispatch.dispatcher import Dispatcher
from hpcml.cluster.dispatch.limits import Limits
from hpcml.cluster.dispatch.sizes import frame_size
from hpcml.cluster.monitor import Monitor
from hpcml.cluster.progress import Quiet, Totals
from hpcml.data.envelope import Call, name_of
from hpcml.data.pickling import dumps
from hpcml.engines.worker import run_frame
from hpcml.errors import TaskError, WorkerDied


def pack(function, args):
    return Call(dumps(function), dumps((args, {})), name_of(function), name_of(function))


class HandWorkers:
    """Workers that keep frames until the test answers them."""

    def __init__(self, slots):
        self.slots = self.ready = slots
        self.hosts = ("here",)
        self.frames = []
        self.interrupted = []

    def submit(self, frame, avoid=frozenset()):
        future = Future()
        self.frames.append((frame, future))
        return future

    def frames_running(self):
        return {f"here:{number}": future for number, (_, future) in enumerate(self.frames)}

    def interrupt(self, future):
        self.interrupted.append(future)
        future.set_exception(WorkerDied("killed"))

    def answer(self, index=0):
        frame, future = self.frames.pop(index)
        future.set_result(run_frame(frame))

    def die(self, index=0, started=True):
        self.frames.pop(index)[1].set_exception(WorkerDied("gone", "here:0", started))

    def wait(self, number):
        end = time.monotonic() + 5
        while len(self.frames) != number:
            assert time.monotonic() < end, len(self.frames)
            time.sleep(0.002)


@pytest.fixture
def workers():
    return HandWorkers(2)


@pytest.fixture
def dispatcher(workers):
    monitor, limits = Monitor(Totals(), Quiet()), Limits(None, lambda: None)
    dispatcher = Dispatcher(workers, lambda digest, since: None, monitor, limits)
    yield dispatcher
    dispatcher.close(wait=False)


def test_no_more_frames_than_slots_while_times_are_unknown(workers, dispatcher):
    futures = dispatcher.submit([pack(abs, (-n,)) for n in range(5)], Future)
    workers.wait(2)
    time.sleep(0.05)
    workers.wait(2)
    while not all(future.done() for future in futures):
        workers.answer() if workers.frames else time.sleep(0.002)
    assert [future.result() for future in futures] == [0, 1, 2, 3, 4]


def test_a_death_before_the_task_started_is_not_counted(workers, dispatcher):
    (future,) = dispatcher.submit([pack(abs, (-1,))], Future)
    for _ in range(5):
        workers.wait(1)
        workers.die(started=False)
    workers.wait(1)
    workers.answer()
    assert future.result(patient(5)) == 1


def test_a_task_fails_after_three_deaths(workers, dispatcher):
    (future,) = dispatcher.submit([pack(abs, (-1,))], Future)
    for _ in range(3):
        workers.wait(1)
        workers.die()
    with pytest.raises(
        WorkerDied, match="builtins.abs ended 3 workers .here:0, here:0, here:0. and is not tried again"
    ):
        future.result(patient(5))


def test_abandoned_frames_alone_are_interrupted(workers, dispatcher):
    kept, dropped, waiting = dispatcher.submit([pack(abs, (-1,)), pack(len, ("ab",)), pack(len, ("abc",))], Future)
    workers.wait(2)
    dispatcher.abandon([dropped, waiting])
    with pytest.raises(TaskError, match="abandoned"):
        dropped.result(patient(5))
    with pytest.raises(CancelledError):
        waiting.result(patient(5))
    assert len(workers.interrupted) == 1
    workers.answer()
    assert kept.result(patient(5)) == 1


def test_a_group_has_no_more_frames_than_its_width(workers, dispatcher):
    call = pack(abs, (-1,))._replace(group="narrow", width=1)
    narrow = dispatcher.submit([call] * 3, Future)
    wide = dispatcher.submit([pack(len, ("ab",))], Future)
    workers.wait(2)
    workers.answer(1)
    assert wide[0].result(patient(5)) == 2
    time.sleep(0.05)
    workers.wait(1)
    while not all(future.done() for future in narrow):
        assert len(workers.frames) <= 1
        workers.answer() if workers.frames else time.sleep(0.002)


def test_a_cancelled_task_is_never_sent(workers, dispatcher):
    futures = dispatcher.submit([pack(abs, (-n,)) for n in range(3)], Future)
    workers.wait(2)
    assert futures[2].cancel()
    workers.answer()
    workers.answer()
    with pytest.raises(CancelledError):
        futures[2].result(patient(5))
    time.sleep(0.05)
    assert not workers.frames


def test_callbacks_never_run_within_submit(workers, dispatcher):
    threads = []

    def new_future():
        future = Future()
        future.add_done_callback(lambda _: threads.append(threading.current_thread()))
        return future

    dispatcher.submit([TaskError("bad")], new_future)
    end = time.monotonic() + 5
    while not threads:
        assert time.monotonic() < end
        time.sleep(0.002)
    assert threads[0] is not threading.main_thread()


def test_a_broken_engine_fails_all_tasks_at_once(workers, dispatcher):
    futures = dispatcher.submit([pack(abs, (-n,)) for n in range(5)], Future)
    workers.wait(2)
    workers.on_broken(ConnectionError("lost"))
    for future in futures:
        with pytest.raises(ConnectionError):
            future.result(patient(5))
    with pytest.raises(ConnectionError):
        dispatcher.submit([pack(abs, (1,))], Future)[0].result(patient(5))


@given(
    seconds=st.one_of(st.none(), st.floats(0, 1e4)),
    waiting=st.integers(1, 10**6),
    slots=st.integers(1, 5000),
)
def test_a_frame_is_never_empty_and_never_long(seconds, waiting, slots):
    size = frame_size(seconds, waiting, slots)
    assert size >= 1
    if seconds and size > 1:
        assert size * seconds <= 0.2
        assert size <= waiting / slots + 1
