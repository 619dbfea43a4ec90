"""The journal file: records are read as they were written, by several threads and while it is written."""

import logging
import threading
from contextlib import closing

import pytest
from journal_files import KEY, read, write

from hpcml.journal.journal_file import JournalFile
from hpcml.journal.records import MARK, JournalReader, pack_record


def test_records_are_read_in_the_order_of_writing(path):
    records = [({"n": 0}, b""), ({"n": 1}, b"\n" * 5), ({"n": 2}, MARK * 9), ({"n": 3}, bytes(1 << 20))]
    write(path, records)
    assert read(path, [({"n": 4}, b"more")]) == (records, [])
    assert read(path) == ([*records, ({"n": 4}, b"more")], [])
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_is_being_written_can_be_read(path):
    journal = JournalFile(path, KEY)
    journal.append({"n": 1}, b"one")
    with open(path, "rb") as file:
        reader = JournalReader(file.fileno(), KEY, path)
        journal.append({"n": 2}, b"two")
        assert [(record.head, reader.body(record)) for record in reader.items()] == [({"n": 1}, b"one")]
    journal.close()


def test_sync_and_close_may_run_in_several_threads(path):
    for _ in range(50):
        journal = JournalFile(path, KEY)
        journal.append({"n": 1}, b"")
        threads = [threading.Thread(target=journal.sync, daemon=True) for _ in range(3)]
        closing = threading.Thread(target=journal.close, daemon=True)
        for thread in [*threads, closing]:
            thread.start()
        for thread in [*threads, closing]:
            thread.join(10)
            assert not thread.is_alive()
    assert len(read(path)[0]) == 50


def test_a_closed_journal_does_not_touch_its_descriptor(path, caplog):
    write(path, [({"n": 1}, b"x")])
    found = []
    journal = JournalFile(path, KEY, found.append)
    journal.close()
    journal.close()
    with path.with_name("another").open("wb"):  # gets the journal's descriptor
        journal.append({"n": 2}, b"")
        journal.sync()
        with pytest.raises(RuntimeError, match="shut down"):
            journal.read(found[0])
    assert path.with_name("another").stat().st_size == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_appends_of_many_threads_are_whole(path):
    journal = JournalFile(path, KEY)
    threads = [
        threading.Thread(target=lambda m=m: [journal.append({"n": [m, n]}, bytes(n)) for n in range(100)])
        for m in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    journal.close()
    found, damages = read(path)
    assert sorted(head["n"] for head, _ in found) == [[m, n] for m in range(5) for n in range(100)]
    assert damages == []


def test_a_packed_record_depends_on_its_offset():
    at = [pack_record(KEY, bytes(16), offset, b"{}", b"") for offset in (0, 1)]
    assert at[0] != at[1]


def test_new_records_are_read_as_they_are_appended(path):
    with closing(JournalFile(path, KEY)) as journal:
        journal.append({"n": 1})
        with open(path, "rb") as file:
            reader = JournalReader(file.fileno(), KEY, path)
            assert [record.head for record in reader.new_items()] == [{"n": 1}]
            assert list(reader.new_items()) == []
            journal.append({"n": 2})
            with open(path, "ab") as torn:
                torn.write(b"\x00hj")  # the next record is being written
            (record, damage) = reader.new_items()
            assert (record.head, damage.torn) == ({"n": 2}, True)
            journal.append({"n": 3})
            assert [record.head for record in reader.new_items()] == [{"n": 3}]
