"""Messages of scikit-learn's callbacks: by the socket while it works, then with the result of the task."""

import pickle
import sys
import types

import pytest

from hpcml.data import callbacks
from hpcml.data.callbacks import with_messages


class Socket:
    def __init__(self, works):
        self.works = works
        self.sent = []

    def send(self, message):
        if len(self.sent) >= self.works:
            raise BrokenPipeError
        self.sent.append(message)

    def recv(self):
        pass


@pytest.fixture
def received(monkeypatch):
    """Messages that the driver's listener "a" has received."""
    found = []
    transport = types.SimpleNamespace(_message_consumers={"a": found.append})
    monkeypatch.setitem(sys.modules, callbacks.TRANSPORT, transport)
    return found


def test_messages_after_a_failure_go_with_the_result(received):
    socket = Socket(works=1)
    connection = callbacks._Connection("a", socket)
    for number in range(3):
        connection.send(number)
    assert socket.sent == [0]
    result = pickle.loads(pickle.dumps(with_messages("result")))
    assert (result, received) == ("result", [1, 2])


def test_a_result_without_messages_is_itself():
    value = object()
    assert with_messages(value) is value


@pytest.mark.parametrize("error", [OSError, EOFError])
def test_a_client_that_fails_is_no_error(error, received):
    def fail(*args, **kwargs):
        raise error

    callbacks._Connect(fail)("a", b"key").send("text")
    assert pickle.loads(pickle.dumps(with_messages(1))) == 1
    assert received == ["text"]


def test_a_recorded_result_has_no_listener(received):
    callbacks._Connection("closed", None).send("text")
    assert pickle.loads(pickle.dumps(with_messages(1))) == 1
    assert received == []


def test_a_callback_that_fails_is_logged(received, monkeypatch, caplog):
    def fail(message):
        raise ValueError

    monkeypatch.setitem(sys.modules[callbacks.TRANSPORT]._message_consumers, "a", fail)
    callbacks._Connection("a", None).send("text")
    assert pickle.loads(pickle.dumps(with_messages(1))) == 1
    assert "could not take a message" in caplog.text
