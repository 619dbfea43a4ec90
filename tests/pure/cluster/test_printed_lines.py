"""Lines that tasks print, and the pipes by which they arrive."""

import logging
import os
import queue
import subprocess
import sys

import pytest

from hpcml.cluster.dispatch.prints import PrintedLines, Prints
from hpcml.engines import collector as collecting
from hpcml.engines.collector import Collector
from hpcml.engines.streams import open_pipes


class Shown:
    def __init__(self):
        self.printed_so_far = []

    def printed(self, *what):
        self.printed_so_far.append(what)


def test_lines_of_several_workers_are_not_mixed():
    lines = PrintedLines("utf-8")
    assert lines.add("a:0", 0, b"one ") == ""
    assert lines.add("b:0", 0, b"other\n") == "[b:0] other\n"
    assert lines.add("a:0", 1, b"error\n") == "[a:0] error\n"
    assert lines.add("a:0", 0, b"line\n\nmore") == "[a:0] one line\n[a:0] \n"
    assert lines.add("a:0", 0, b"", ended=True) == "[a:0] more\n"
    assert lines.add("a:0", 0, b"", ended=True) == ""


def test_a_character_that_is_cut_in_two_is_whole():
    lines = PrintedLines("utf-8")
    both = "é\n".encode()
    assert lines.add("a:0", 0, both[:1]) + lines.add("a:0", 0, both[1:]) == "[a:0] é\n"


def test_a_line_without_end_is_shown_in_parts():
    lines = PrintedLines("utf-8")
    shown = "".join(lines.add("a:0", 0, b"x" * 1000) for _ in range(200))
    assert shown.count("x") > 130_000


def test_prints_beyond_the_limit_are_dropped_with_a_warning(caplog):
    orders, shown = queue.SimpleQueue(), Shown()
    prints = Prints(orders, shown, max_bytes=100)
    for _ in range(5):
        prints.put("a:0", 0, b"x" * 40, False)
    with caplog.at_level(logging.WARNING, "hpcml"):
        prints.show_rest()
    assert [data for _, _, data, _ in shown.printed_so_far] == [b"x" * 40] * 2
    assert "120 bytes that tasks have printed are left out" in caplog.text
    prints.put("a:0", 0, b"y", True)
    prints.show_rest()
    assert shown.printed_so_far[-1] == ("a:0", 0, b"y", True)


@pytest.fixture
def pipes():
    made = [open_pipes() for _ in range(2)]
    yield made
    for one in made:
        one.close()


def test_short_prints_wait_for_more_and_long_ones_do_not(pipes, monkeypatch):
    taken, counts = [], [0, 0]
    collector = Collector(pipes, lambda *what: taken.append(what), counts)
    assert collector.timeout is None
    assert len(collector.watched) == 1
    os.write(pipes[0].writers[0], b"a little")
    os.write(pipes[1].writers[1], b"x" * 40_000)
    collector.look()
    assert taken == [(1, 1, b"x" * 40_000, 1)]
    assert collector.timeout is not None
    assert collector.watched == []
    monkeypatch.setattr(collecting, "BATCH_SECONDS", 0.0)
    collector.look()
    assert taken[1:] == [(0, 0, b"a little", 1)]
    collector.look()
    assert collector.timeout is None
    assert counts == [1, 1]


def test_prints_that_the_worker_has_read_are_not_awaited(pipes):
    taken = []
    collector = Collector(pipes, lambda *what: taken.append(what))
    os.write(pipes[0].writers[0], b"short")
    collector.look()
    assert pipes[0].read(0) == b"short"
    collector.look()
    assert (taken, collector.timeout) == ([], None)
    os.write(pipes[0].writers[1], b"last words")
    collector.drain(0)
    assert taken == [(0, 1, b"last words", 1)]


HARM = """
import io, os, sys, traceback
log = os.fdopen(os.dup(2), "w")
sys.excepthook = lambda *error: traceback.print_exception(*error, file=log)
from hpcml.engines.streams import Streams, open_pipes
pipes = open_pipes()
streams = Streams(pipes)
streams.mend()
kept = sys.stdout
def close(): sys.stdout.close()
def detach(): sys.stdout.detach()
def replace(): sys.stdout = io.StringIO()
def remove(): del sys.stdout, sys.stderr
def wrap(): sys.stdout = io.TextIOWrapper(sys.stdout.buffer, "utf-16")
def descriptor(): os.close(1)
def elsewhere(): os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
def settings(): sys.stdout.reconfigure(encoding="ascii", line_buffering=False)
def original(): sys.__stdout__ = None
for harm in (close, detach, replace, remove, wrap, descriptor, elsewhere, settings, original):
    harm()
    streams.mend()
    print("é", harm.__name__)
    os.write(2, b"error")
    assert streams.take() == (f"é {harm.__name__}\\n".encode(), b"error"), harm
    assert sys.stdout is sys.__stdout__ and sys.stdout.name == "<stdout>" and not sys.stdout.closed
    streams.mend_quickly()
"""


def test_harm_to_the_standard_streams_is_undone():
    command = [sys.executable, "-X", "utf8", "-c", HARM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
