"""Output of ranks: lines, parts of lines, and ranks that print faster than their output is read."""

import os
import threading

import pytest
from patience import patient, wait_until

from hpcml.commands.torch.output import MOST_WAITING, SlowInbox, Stream


@pytest.fixture
def written():
    """A stream, and a function that writes to it."""
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe, open(writer, "wb", buffering=0) as out:
        yield Stream("out", pipe), out


def test_lines_are_whole_and_the_rest_waits(written):
    stream, out = written
    out.write(b"one\ntwo\nthr")
    assert (stream.read(), stream.held) == (b"one\ntwo\n", b"thr")
    out.write(b"ee\n 50%\r 99")
    assert (stream.read(), stream.take(), stream.held) == (b"three\n 50%\r", b" 99", b"")
    assert stream.read() == b"", "there is nothing, and no end"
    assert stream.is_open


def test_the_end_of_output_is_no_end_of_a_line(written):
    stream, out = written
    out.write(b"last")
    assert stream.read() == b""
    out.close()
    assert (stream.read(), stream.is_open) == (b"last", False)


def test_output_waits_for_its_reader_and_all_else_does_not():
    inbox = SlowInbox()
    program = object()
    for _ in range(MOST_WAITING + 1):
        inbox.put((program, {"out": "x"}))
    waiting = [threading.Thread(target=inbox.put, args=((program, {name: "late"}),)) for name in ("out", "err")]
    for thread in waiting:
        thread.start()
    inbox.put((program, {"ended": 0}))
    inbox.put((None, {"signal": 15}))
    inbox.put((program, None))
    assert inbox.qsize() == MOST_WAITING + 4
    assert all(thread.is_alive() for thread in waiting)
    for _ in range(5):
        inbox.get()
    wait_until(lambda: inbox.qsize() == MOST_WAITING + 1)
    inbox.put((program, {"alive": "n1"}))
    inbox.is_read = False
    inbox.put((program, {"out": "nobody waits"}))
    for thread in waiting:
        thread.join(patient(10))
    assert inbox.qsize() == MOST_WAITING + 3
