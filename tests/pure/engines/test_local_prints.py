"""Prints of the workers of engine local: a thread reads those of long frames, the last ones follow a death."""

import os
import threading

import pytest
from patience import wait_until

from hpcml.engines import collector
from hpcml.engines.local.prints import PrintReader
from hpcml.engines.streams import open_pipes


@pytest.fixture
def shown(monkeypatch):
    monkeypatch.setattr(collector, "BATCH_SECONDS", 0.0)
    return []


@pytest.fixture
def pipes():
    return [open_pipes() for _ in range(2)]


@pytest.fixture
def reader(pipes, shown):
    reader = PrintReader(pipes, lambda *printed: shown.append(printed))
    yield reader
    reader.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "hpcml-prints"]


def test_prints_are_shown_while_a_frame_runs(reader, pipes, shown):
    os.write(pipes[1].writers[0], b"a line\n")
    wait_until(lambda: shown)
    assert shown == [(1, 0, b"a line\n", False)]


def test_the_last_prints_of_a_worker_are_followed_by_the_end_of_both_streams(reader, pipes, shown, monkeypatch):
    monkeypatch.setattr(collector, "BATCH_SECONDS", 1000.0)
    os.write(pipes[0].writers[1], b"last words")
    reader.drain(0)
    assert shown == [(0, 1, b"last words", False), (0, 0, b"", True), (0, 1, b"", True)]


def test_prints_that_are_left_are_shown_at_the_end(pipes, shown, monkeypatch):
    monkeypatch.setattr(collector, "BATCH_SECONDS", 1000.0)
    reader = PrintReader(pipes, lambda *printed: shown.append(printed))
    os.write(pipes[0].writers[0], b"left")
    reader.close()
    assert shown == [(0, 0, b"left", False)]
