"""Addresses of the controller: one counts only where the controller itself answers."""

import socket
import threading
import time
from contextlib import ExitStack

from patience import patient, promised

from hpcml.engines.nodes.addresses import reach

TOKEN = b"0123456789abcdef"


def greet(listener, word):
    with listener.accept()[0] as connection:
        connection.sendall(word)
        connection.recv(1)


def test_an_address_counts_only_when_the_controller_itself_answers_there():
    with ExitStack() as opened:
        ports = {}
        for number, word in enumerate((TOKEN, b"another program!", b"")):
            listener = opened.enter_context(socket.create_server((f"127.0.0.{number + 1}", 0)))
            ports[f"127.0.0.{number + 1}"] = listener.getsockname()[1]
            if word:
                threading.Thread(target=greet, args=(listener, word), daemon=True).start()
        refused = opened.enter_context(socket.socket())
        refused.bind(("127.0.0.4", 0))
        ports["127.0.0.4"] = refused.getsockname()[1]
        began = time.monotonic()
        assert reach(ports.items(), TOKEN, timeouts=(0.3,)) == {
            "127.0.0.1": "",
            "127.0.0.2": "somebody else answers",
            "127.0.0.3": "timed out",
            "127.0.0.4": "Connection refused",
        }
        assert time.monotonic() - began < promised(5)


def test_a_controller_on_a_busy_host_has_more_time_to_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet_the_second():
            first = listener.accept()[0]
            greet(listener, TOKEN)
            first.close()

        threading.Thread(target=greet_the_second, daemon=True).start()
        found = reach([listener.getsockname()], TOKEN, timeouts=(0.1, patient(10)))
    assert found == {"127.0.0.1": ""}
