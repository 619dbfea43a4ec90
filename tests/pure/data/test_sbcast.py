"""Staging by sbcast: one broadcast for each step, again without lost nodes, and from the kept source."""

import os

import pytest

from hpcml.data.staging import sbcast as staging
from hpcml.data.staging.sbcast import SbcastStaging
from hpcml.errors import CommandError, DataError


class Nodes:
    """Two components of a job; a transfer to a step of `lost` fails until the nodes are asked for room."""

    directories = ("/dev/shm", "/tmp")

    def __init__(self):
        self.running = ["7.1", "7.2"]
        self.lost = set()
        self.removed = []
        self.room = {"n1": {"/dev/shm": 10**9, "/tmp": 10**9}}

    def steps(self):
        return list(self.running)

    def free_bytes(self):
        self.running = [step for step in self.running if step not in self.lost]
        return self.room

    def remove(self, path):
        self.removed.append(path)


@pytest.fixture
def nodes():
    return Nodes()


@pytest.fixture
def sent(monkeypatch, nodes):
    """Transfers: (step, content, target)."""
    found = []

    def run(command, environment, *, timeout, inherit):
        source, target = command[-2:]
        step = command[1].removeprefix("--jobid=")
        assert source == f"/proc/self/fd/{inherit[0]}"
        if step in nodes.lost:
            raise CommandError(f"step {step} is over")
        found.append((step, os.pread(inherit[0], 1000, 0), target))
        return ""

    monkeypatch.setattr(staging, "run", run)
    return found


def opened(nodes, scratch):
    return SbcastStaging(nodes, [str(scratch)], {})


def test_content_is_sent_to_each_step(nodes, sent, tmp_path):
    store = opened(nodes, tmp_path)
    path, note = store.put("hpcml-test-data", [memoryview(b"ab"), memoryview(b"c")])
    assert (os.path.dirname(path), note) == ("/dev/shm", "")
    assert [(step, content) for step, content, _ in sent] == [("7.1", b"abc"), ("7.2", b"abc")]
    assert not list(tmp_path.iterdir()), "the source has no name"
    store.remove(path)
    assert nodes.removed == [path]


def test_a_lost_step_is_left_out_of_a_second_try(nodes, sent, tmp_path):
    store = opened(nodes, tmp_path)
    nodes.lost = {"7.2"}
    nodes.free_bytes = lambda: nodes.room  # the loss is noticed by the transfer
    known = nodes.steps

    def steps():
        found = known()
        nodes.running = ["7.1"]
        return found

    nodes.steps = steps
    path, _ = store.put("hpcml-test-data", [memoryview(b"abc")])
    assert [step for step, _, _ in sent] == ["7.1", "7.1"]
    assert nodes.removed == []
    store.remove(path)


def test_content_is_sent_again_from_the_kept_source(nodes, sent, tmp_path):
    store = opened(nodes, tmp_path)
    path, _ = store.put("hpcml-test-data", [memoryview(b"abc")])
    store.put_again(path)
    assert [content for _, content, _ in sent] == [b"abc"] * 4
    store.remove(path)
    assert nodes.removed == [path]
    with pytest.raises(DataError, match="is missing on a node and cannot be sent again"):
        store.put_again(path)


def test_without_room_on_this_host_the_error_names_the_remedy(nodes, sent, tmp_path):
    with pytest.raises(DataError, match="none: No such file or directory\nSet TMPDIR to a directory with room"):
        opened(nodes, tmp_path / "none").put("hpcml-test-data", [memoryview(b"abc")])
    assert sent == []
