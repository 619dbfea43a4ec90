"""Prints of a node's engines: the launcher sends them with the count of its readings, the last with an end."""

import os
import resource

import pytest

from hpcml.engines import collector
from hpcml.engines.nodes import prints
from hpcml.engines.nodes.prints import FILES_PER_SLOT, OTHER_FILES, NodePrints
from hpcml.slurm.message_lines import MessageReader


@pytest.fixture
def node(monkeypatch):
    """The prints of a node with two slots, and a reader of the messages."""
    monkeypatch.setattr(collector, "BATCH_SECONDS", 0.0)
    reader, writer = os.pipe()
    messages = MessageReader()
    prints = NodePrints("n1", 2, writer)
    prints.messages = lambda: list(filter(None, map(messages.read, os.read(reader, 1 << 20).splitlines(True))))
    yield prints
    prints.close()
    os.close(reader)
    os.close(writer)


def in_engine(call):
    """Return the number that `call` returns in a forked process."""
    process = os.fork()
    if process == 0:
        status = 255
        try:
            status = call()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def write(prints, slot, stream, data):
    os.write(prints._pipes[slot].writers[stream], data)


def test_prints_of_an_engine_are_sent_with_the_count_of_readings(node):
    every_byte = bytes(range(256)) * 4
    write(node, 1, 0, every_byte)
    node.look()
    messages = node.messages()
    text = "".join(message["printed"] for message in messages)
    assert text.encode("latin-1") == every_byte
    assert all((message["node"], message["slot"], message["stream"]) == ("n1", 1, 0) for message in messages)
    assert messages[-1]["readings"] == 1
    assert in_engine(lambda: node.streams(1).count()) == 1


def test_prints_of_a_long_reading_are_sent_in_several_messages_the_last_with_the_count(node, monkeypatch):
    monkeypatch.setattr(prints, "MESSAGE_BYTES", 1000)
    data = 2000 * b"\xe9" + b"end"
    node._send(0, 1, data, 5)
    messages = node.messages()
    assert [len(message["printed"]) for message in messages] == [1000, 1000, 3]
    assert "".join(message["printed"] for message in messages).encode("latin-1") == data
    assert [message.get("readings") for message in messages] == [None, None, 5]


def test_the_last_prints_of_an_engine_are_followed_by_the_end_of_both_streams(node):
    write(node, 0, 1, b"last words")
    node.drain(0)
    prints, *ends = node.messages()
    assert (prints["printed"], prints["stream"], prints["readings"]) == ("last words", 1, 1)
    assert [(end["stream"], end["printed"], end["ended"]) for end in ends] == [(0, "", True), (1, "", True)]


def test_an_engine_has_its_own_streams_only(node):
    def open_files():
        node.streams(0)
        return sum(is_open(one) for pipes in node._pipes for one in (*pipes.readers, *pipes.writers))

    assert in_engine(open_files) == FILES_PER_SLOT


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def limit_in(prints):
    prints.streams(0)
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_a_node_of_many_slots_gets_more_files_and_its_engines_the_limit_of_before():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    slots = 40
    needed = FILES_PER_SLOT * slots + OTHER_FILES
    reader, writer = os.pipe()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed - 1, before[1]))
        prints = NodePrints("n1", slots, writer)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= needed
        assert in_engine(lambda: limit_in(prints) == needed - 1)
        prints.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(reader)
        os.close(writer)
