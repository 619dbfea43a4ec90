"""A journal on a full disk: the error is raised once, and waiting records are written when there is room."""

import os
import resource
import subprocess

import pytest
from journal_files import KEY, make_records, read, write

import hpcml.journal.journal_file
from hpcml.errors import JournalFull
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.records import HEADER_BYTES, Damage, JournalReader


@pytest.mark.skipif(os.getuid() != 0, reason="a file system of 64 kB is mounted, which needs root")
def test_a_full_disk_is_an_error_once_and_writing_goes_on_with_room(small_mount):
    place = small_mount("small", "64k")
    journal = JournalFile(place / "journal", KEY)
    records = [({"n": n}, os.urandom(3000)) for n in range(30)]
    errors = []
    for record in records:
        try:
            journal.append(*record)
        except JournalFull as error:
            errors.append(str(error))
    (message,) = errors
    kept, damages = read_live(place / "journal")
    assert kept == records[: len(kept)]
    assert 10 < len(kept) < 25
    assert damages == []
    size = (place / "journal").stat().st_size
    assert f"{place}/journal cannot take more than its {size:,} bytes: No space left on device" in message
    assert "Free some space there" in message

    subprocess.run(["mount", "-o", "remount,size=1m", place], check=True)
    journal.append({"n": 30}, b"there is room again")
    journal.close()
    found, damages = read(place / "journal")
    assert [head["n"] for head, _ in found] == list(range(31))
    assert damages == []


def read_live(path):
    with open(path, "rb") as file:
        reader = JournalReader(file.fileno(), KEY, path)
        items = list(reader.items())
        good = [(item.head, reader.body(item)) for item in items if not isinstance(item, Damage)]
        return good, [item for item in items if isinstance(item, Damage)]


def test_a_limit_of_the_length_of_files_is_an_error_once(path, file_limit):
    records = [({"n": n}, os.urandom(500)) for n in range(10)]
    journal = JournalFile(path, KEY)
    errors = []
    file_limit(2000)  # in the middle of a record, so that a part of it is written
    for record in records:
        try:
            journal.append(*record)
        except JournalFull as error:
            errors.append(str(error))
    file_limit(resource.RLIM_INFINITY)
    assert len(errors) == 1
    assert "File too large" in errors[0]
    kept, damages = read_live(path)
    assert kept == records[: len(kept)]
    assert kept
    assert damages == []
    journal.append({"n": 10}, b"")
    journal.close()
    assert read(path) == ([*records, ({"n": 10}, b"")], [])


@pytest.mark.parametrize("limit", [0, 10, HEADER_BYTES - 1])
def test_a_new_journal_without_room_is_an_error(path, file_limit, limit):
    file_limit(limit)
    try:
        with pytest.raises(JournalFull, match="File too large"):
            JournalFile(path, KEY)
    finally:
        file_limit(resource.RLIM_INFINITY)
    write(path, make_records(1))
    assert len(read(path)[0]) == 1


def test_a_second_full_disk_is_an_error_again(path, file_limit):
    journal = JournalFile(path, KEY)
    for _ in range(2):
        file_limit(path.stat().st_size)
        with pytest.raises(JournalFull):
            journal.append({"n": 1}, b"")
        journal.append({"n": 2}, b"")
        file_limit(resource.RLIM_INFINITY)
        journal.append({"n": 3}, b"")
    journal.close()
    assert [head["n"] for head, _ in read(path)[0]] == [1, 2, 3] * 2


def test_waiting_records_are_bounded_and_session_records_are_kept(path, file_limit, monkeypatch):
    monkeypatch.setattr(hpcml.journal.journal_file, "MAX_BACKLOG_BYTES", 1000)
    journal = JournalFile(path, KEY)
    file_limit(HEADER_BYTES)
    with pytest.raises(JournalFull):
        journal.append({"session": 1})
    for n in range(30):
        journal.append({"task": n}, bytes(100))
    file_limit(resource.RLIM_INFINITY)
    journal.append({"end": ""})
    journal.close()
    kept = [{"session": 1}, *({"task": n} for n in range(20, 30)), {"end": ""}]
    assert [head for head, _ in read(path)[0]] == kept


def test_an_error_of_sync_is_raised_by_the_next_append(path, monkeypatch):
    """NFS and quotas may refuse the data only when it is flushed."""

    def refuse(_):
        raise OSError(122, "Disk quota exceeded")

    journal = JournalFile(path, KEY)
    journal.append({"n": 1}, b"")
    monkeypatch.setattr(os, "fdatasync", refuse)
    journal.sync()
    with pytest.raises(JournalFull, match="Disk quota exceeded"):
        journal.append({"n": 2}, b"")
    journal.sync()
    journal.append({"n": 3}, b"")  # the error is raised once
    monkeypatch.undo()
    journal.close()
    assert [head["n"] for head, _ in read(path)[0]] == [1, 2, 3]
