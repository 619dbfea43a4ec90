"""Inbox and outbox: which files are items, and when they are removed."""

import json
import os
import stat

import pytest

from hpcml.errors import HpcmlError
from hpcml.serving.directories import Directories


@pytest.fixture
def places(tmp_path):
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def source(places):
    source = Directories(*places)
    yield source
    source.close()


def put(inbox, name, content=b"[1]", age=0.0):
    (inbox / name).write_bytes(content)
    os.utime(inbox / name, (1e9 - age, 1e9 - age))


def test_items_are_read_once_and_the_oldest_first(source, places):
    for number in range(5):
        put(places[0], f"item-{number}", age=number)
    put(places[0], ".hidden")
    (places[0] / "folder").mkdir()
    assert [item.id for item in source.read(3, 0)] == ["item-4", "item-3", "item-2"]
    assert [item.id for item in source.read(3, 0)] == ["item-1", "item-0"]
    assert source.read(3, 0.02) == []


def test_a_result_is_there_before_its_item_is_removed(source, places):
    inbox, outbox = places
    put(inbox, "a")
    (item,) = source.read(9, 1)
    assert (inbox / "a").exists()
    source.write([(item, b'{"value": 1}')])
    assert json.loads((outbox / "a.json").read_text()) == {"value": 1}
    assert stat.S_IMODE((outbox / "a.json").stat().st_mode) == 0o600
    assert not (inbox / "a").exists()
    put(inbox, "a", b"[2]")
    assert source.read(9, 1)[0].content == b"[2]", "a new item may have the name of one that is done"


def test_an_outbox_that_is_gone_keeps_the_item(source, places):
    inbox, outbox = places
    put(inbox, "a")
    (item,) = source.read(9, 1)
    outbox.rmdir()
    with pytest.raises(
        HpcmlError, match=r"the result of a cannot be written to .*: No such file.*stays in the inbox"
    ):
        source.write([(item, b"{}")])
    assert (inbox / "a").exists()


def test_links_and_pipes_are_errors_and_not_read(source, places):
    secret = places[0].parent / "secret"
    secret.write_text("[7]")
    (places[0] / "link").symlink_to(secret)
    os.mkfifo(places[0] / "pipe")
    problems = {item.id: (item.content, item.problem) for item in source.read(9, 1)}
    assert problems["link"] == (b"", "link cannot be read: Too many levels of symbolic links")
    assert problems["pipe"] == (b"", "pipe cannot be read: no file")


def test_one_server_has_an_inbox(source, places):
    with pytest.raises(HpcmlError, match="another server is at work"):
        Directories(*places)


def test_a_stopped_source_waits_no_longer(source):
    source.stop()
    assert source.read(1, 60.0) == []
