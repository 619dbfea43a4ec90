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


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_file_that_changes_while_it_is_scored_is_read_again(source, places, is_replaced):
    inbox, outbox = places
    put(inbox, "a", b"[1]", age=10)
    (item,) = source.read(9, 1)
    if is_replaced:
        put(inbox, ".new", b"[2]", age=10)
        (inbox / ".new").rename(inbox / "a")
    else:
        put(inbox, "a", b"[2]")
    source.write([(item, b'{"value": 1}')])
    assert json.loads((outbox / "a.json").read_text()) == {"value": 1}
    (again,) = source.read(9, 1)
    assert again.content == b"[2]"
    source.write([(again, b'{"value": 2}')])
    assert json.loads((outbox / "a.json").read_text()) == {"value": 2}
    assert not (inbox / "a").exists()


def test_an_item_whose_result_cannot_be_made_harms_no_other(source, places, caplog):
    inbox, outbox = places
    long = "b" * 251  # a name with .json has more than the 255 bytes of a file system
    put(inbox, long, age=2)
    put(inbox, "taken", age=1)
    put(inbox, "good")
    (outbox / "taken.json").mkdir()
    items = source.read(9, 1)
    assert [item.id for item in items] == [long, "taken", "good"]
    source.write([(item, b"{}") for item in items])
    assert [path.name for path in outbox.iterdir() if path.is_file()] == ["good.json"]
    assert {path.name for path in inbox.iterdir()} == {".lock", long, "taken"}
    assert source.read(9, 0.02) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"the item {name!r} is left in {inbox}: its result cannot be written to {outbox}: {reason}"
        for name, reason in ((long, "File name too long"), ("taken", "Is a directory"))
    ]


def test_a_link_that_is_replaced_is_read_again(source, places):
    (places[0] / "a").symlink_to("/etc/hostname")
    (item,) = source.read(9, 1)
    assert item.problem
    put(places[0], ".new", b"[2]")
    (places[0] / ".new").rename(places[0] / "a")
    source.write([(item, b"{}")])
    assert source.read(9, 1)[0].content == b"[2]"


def test_a_backlog_is_looked_at_once_and_not_with_each_read(source, places, monkeypatch):
    for number in range(100):
        put(places[0], f"item-{number:03}", age=100 - number)
    looks, scan = [], os.scandir
    monkeypatch.setattr("hpcml.serving.directories.os.scandir", lambda path: looks.append(path) or scan(path))
    first = source.read(8, 1)
    put(places[0], "later")
    (places[0] / "item-050").unlink()
    found = [item.id for item in first]
    while items := source.read(8, 0):
        found += [item.id for item in items]
    assert found == [f"item-{number:03}" for number in range(100) if number != 50] + ["later"]
    assert len(looks) <= 4  # at first, for what is left at the end, and for nothing


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
