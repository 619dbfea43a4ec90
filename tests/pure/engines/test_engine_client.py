"""Client of a controller: how frames are sent, answered and failed, with ipyparallel's own client replaced."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from ipyparallel.error import NoEnginesRegistered, RemoteError
from zmq import Context

from hpcml.engines.ipyparallel import client as clients
from hpcml.engines.ipyparallel.client import LATE_ANSWER_SECONDS, EngineClient, EngineFailed
from hpcml.engines.ipyparallel.requests import FRAME_KEY
from hpcml.errors import EngineError


class Plain:
    """ipyparallel's client, as far as it is used."""

    def __init__(self, *, connection_info, context, **options):
        self.info = connection_info
        self.context = context
        self.options = options
        self.sent = []
        self.later = []
        self.stranded = []
        self.purged = []
        self.history = ["m1"]
        self._ids = [0, 1]
        self._registration_callbacks = []
        self._mux_stream = "mux"
        self._query_stream = "query"
        self._control_stream = "control"
        self.session = "session"
        self._io_loop = SimpleNamespace(call_later=lambda *call: self.later.append(call))

    def _handle_stranded_msgs(self, *engine):
        self.stranded.append(engine)

    def _build_targets(self, number):
        if not self._ids:
            raise NoEnginesRegistered("none")
        if number == "all":
            return [f"uuid-{one}".encode() for one in self._ids], list(self._ids)
        if number not in self._ids:
            raise IndexError(number)
        return [f"uuid-{number}".encode()], [number]

    def _send(self, stream, kind, **content):
        request = Future()
        request.msg_id = f"m{len(self.sent)}"
        self.sent.append((stream, kind, content, request))
        return request

    def _update_engines(self, engines):
        self._ids = sorted({*self._ids, *map(int, engines)})

    def close(self, linger):
        pass

    def purge_local_results(self, message):
        self.purged.append(message)


@pytest.fixture
def client(monkeypatch, tmp_path):
    monkeypatch.setattr(clients, "FrameClient", Plain)
    client = EngineClient({"key": "k"}, tmp_path, timeout=3.0)
    yield client
    client.close()


def test_the_runs_directory_is_the_profile(client, tmp_path):
    assert client.plain.info == {"key": "k"}
    assert client.plain.options == {"profile_dir": str(tmp_path), "ipython_dir": str(tmp_path), "timeout": 3.0}


def test_another_client_is_connected_by_the_same_arguments(client, tmp_path):
    directory = str(tmp_path)
    assert client.connection == {
        "connection_info": {"key": "k"}, "profile_dir": directory, "ipython_dir": directory
    }  # fmt: skip


def test_a_script_that_ends_zmqs_context_does_not_end_this_clients(client):
    assert client.plain.context is not Context.instance()


def test_a_probe_is_a_request_without_a_frame_to_each_engine(client):
    def answer(*sent, **content):
        request = send(*sent, **content)
        request.set_result(b"")
        return request

    send = client.plain._send
    client.plain._send = answer
    client.probe(1.0)
    assert [content["ident"] for _, _, content, _ in client.plain.sent] == [b"uuid-0", b"uuid-1"]
    assert all(content["buffers"] == [] for _, _, content, _ in client.plain.sent)
    client.plain._send = send
    with pytest.raises(TimeoutError):
        client.probe(0.0)


def test_a_client_without_its_streams_is_an_error(monkeypatch, tmp_path):
    class Changed(Plain):
        def __init__(self, **options):
            super().__init__(**options)
            del self._mux_stream

    monkeypatch.setattr(clients, "FrameClient", Changed)
    with pytest.raises(EngineError, match=r"Client\(\)\._mux_stream of ipyparallel >= 9"):
        EngineClient({}, tmp_path, timeout=3.0)


def test_a_frame_is_one_buffer_to_one_engine_and_its_answer_is_received(client):
    answers = []
    assert client.send_frame(1, b"frame", answers.append)
    ((stream, kind, content, request),) = client.plain.sent
    assert (stream, kind) == ("mux", "apply_request")
    assert content == {
        "content": {FRAME_KEY: True}, "buffers": [b"frame"], "ident": b"uuid-1", "track_outstanding": True
    }  # fmt: skip
    request.set_result(b"outcomes")
    assert answers == [b"outcomes"]
    assert client.plain.purged == ["m0"]
    assert client.plain.history == []


@pytest.mark.parametrize("ids", [[0], []])
def test_no_frame_is_sent_to_an_engine_that_the_client_does_not_have(client, ids):
    client.plain._ids = ids
    assert not client.send_frame(1, b"frame", None)
    assert client.plain.sent == []


@pytest.mark.parametrize(("name", "is_alive"), [("EngineError", False), ("MemoryError", True)])
def test_an_error_of_an_engine_says_whether_it_is_alive(client, name, is_alive):
    answers = []
    client.send_frame(0, b"frame", answers.append)
    client.plain.sent[0][3].set_result(RemoteError(name, "its reason", "", {"engine_id": 0, "method": "apply"}))
    (error,) = answers
    assert isinstance(error, EngineFailed)
    assert error.is_alive is is_alive
    assert f"{name}: its reason" in str(error)
    assert client.plain.purged == ["m0"]


def test_a_dead_engines_requests_fail_a_moment_later(client):
    client.plain._handle_stranded_msgs(3, "uuid-3")
    ((seconds, fail, *engine),) = client.plain.later
    assert seconds == LATE_ANSWER_SECONDS
    fail(*engine)
    assert client.plain.stranded == [(3, "uuid-3")]


def test_engines_are_announced_and_asked_for(client):
    called = []
    client.on_registration(lambda: called.append("announced"))
    client.plain._registration_callbacks[0]({"event": "register"})
    client.ask_engines(lambda: called.append("asked"))
    client.plain.sent[0][3].set_result({"content": {"engines": {"4": "uuid-4"}}})
    assert called == ["announced", "asked"]
    assert client.registered == {0, 1, 4}


def test_a_closed_client_asks_nothing(client):
    def closed(*_):
        raise OSError("Connections have been closed.")

    client.plain._send = closed
    client.ask_engines(lambda: pytest.fail("not asked"))
