"""The end of the main thread: callbacks come before other threads are waited for."""

import subprocess
import sys
import threading

import pytest

from hpcml.cluster.main_thread import call_at_its_end
from hpcml.errors import HpcmlError

PROGRAM = """
import atexit, threading
from hpcml.cluster.main_thread import call_at_its_end

ended = threading.Event()
thread = threading.Thread(target=lambda: (ended.wait(30), print("thread")))
atexit.register(print, "atexit")
call_at_its_end(lambda words: (print(words), ended.set()), "registered first")
call_at_its_end(print, "registered last")
thread.start()
"""


def test_the_last_to_register_is_called_first_and_before_threads_are_waited_for():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["registered last", "registered first", "thread", "atexit"]


def test_a_python_that_cannot_do_that_is_named(monkeypatch):
    monkeypatch.delattr(threading, "_register_atexit")
    with pytest.raises(HpcmlError, match=r"has no threading\._register_atexit: hpcml works with Python 3\.11"):
        call_at_its_end(print)
