"""Clients for views: one is ready when it receives the engines' news."""

import threading
from collections import defaultdict
from types import SimpleNamespace

import pytest

from hpcml.engines.ipyparallel import views
from hpcml.engines.ipyparallel.views import await_news


class Client:
    """ipyparallel's client; its engines' news arrive from the probe `first` on."""

    def __init__(self, ids, first):
        self.ids = ids
        self.sent = []
        self.metadata = defaultdict(dict)
        self._futures = {}
        self._first = first
        self._control_stream = "control"
        self._io_loop = SimpleNamespace(add_callback=lambda call, *args, **more: call(*args, **more))
        self.session = SimpleNamespace(msg=self._message, send=self._send)

    def _message(self, kind, content):
        return {"header": {"msg_id": f"m{len(self.sent)}", "msg_type": kind}, "content": content}

    def _build_targets(self, numbers):
        return [f"uuid-{number}".encode() for number in numbers], numbers

    def create_message_futures(self, number, header):
        self._futures[number] = SimpleNamespace(iopub_callbacks=[])
        return [self._futures[number]]

    def _send(self, stream, message, ident):
        number = message["header"]["msg_id"]
        self.sent.append((stream, message["header"]["msg_type"], message["content"], ident))
        if len(self.sent) >= self._first and number in self.metadata:
            answer = self._futures[number]
            threading.Timer(0.01, lambda: [callback({}) for callback in answer.iopub_callbacks]).start()


def test_probes_are_sent_until_news_of_one_arrive(monkeypatch):
    monkeypatch.setattr(views, "PROBE_SECONDS", 0.2)
    client = Client([3, 4], first=3)
    await_news(client)
    assert client.sent[:2] == [
        ("control", "signal_request", {"sig": 0}, b"uuid-3"), ("control", "signal_request", {"sig": 0}, b"uuid-4")
    ]  # fmt: skip
    assert len(client.sent) == 4
    assert not client._futures
    assert not client.metadata


@pytest.mark.parametrize("ids", [[], [1]])
def test_without_engines_or_news_the_client_is_used_as_it_is(monkeypatch, ids):
    monkeypatch.setattr(views, "PROBES_SECONDS", 0.1)
    client = Client(ids, first=10**9)
    await_news(client)
    assert bool(client.sent) == bool(ids)
