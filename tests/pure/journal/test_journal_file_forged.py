"""Forged journals: records that somebody else has written, moved or changed are not used."""

import itertools
import pickle
import zlib

import pytest
from journal_files import KEY, make_records, read, record_offsets, write

from hpcml.errors import HpcmlError
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.records import HEADER_BYTES, MARK, PREFIX


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def plant(path, prefix_and_line, body):
    with path.open("ab") as file:
        file.write(prefix_and_line + body + b"\n")


def test_a_forged_record_is_not_unpickled(path, tmp_path):
    write(path, make_records(2))
    body = pickle.dumps(Canary(str(tmp_path / "canary")))
    line = b'{"task":"x"}\n'
    checksum = zlib.crc32(body, zlib.crc32(line))
    plant(path, PREFIX.pack(MARK, len(line) + len(body), checksum, bytes(16)) + line, body)
    found, (damage,) = read(path)
    assert len(found) == 2
    assert not damage.torn


def test_a_moved_record_is_not_used(path):
    records = [({"n": n}, bytes([n]) * 10) for n in range(4)]
    write(path, records)
    content, starts = path.read_bytes(), record_offsets(path)
    pieces = [content[a:b] for a, b in itertools.pairwise(starts)]
    path.write_bytes(content[: starts[0]] + pieces[0] + pieces[2] + pieces[1] + pieces[3])
    assert read(path)[0] == [records[0], records[3]]
    path.write_bytes(content + pieces[0])  # once more, at the end
    assert read(path)[0] == records


def test_a_record_of_another_journal_with_the_same_key_is_not_used(path, tmp_path):
    other = tmp_path / "other"
    write(path, [({"n": 1}, b"mine")])
    write(other, [({"n": 1}, b"none")])
    path.write_bytes(path.read_bytes()[:HEADER_BYTES] + other.read_bytes()[HEADER_BYTES:])
    assert read(path)[0] == []


def test_another_journal_with_another_key_is_refused(path):
    write(path, make_records(2), key=b"another key")
    with pytest.raises(HpcmlError, match="was not written with the key of this run"):
        JournalFile(path, KEY)


def test_a_body_that_is_changed_after_opening_is_refused(path):
    write(path, [({"n": 1}, b"right")])
    found = []
    journal = JournalFile(path, KEY, found.append)
    with path.open("r+b") as file:
        file.seek(found[0].offset)
        file.write(b"wrong")
    with pytest.raises(HpcmlError, match="was changed"):
        journal.read(found[0])
    journal.close()


def test_a_record_of_an_earlier_journal_at_its_old_offset_is_not_used(path):
    """The random bytes of the header differ, so that a partial rollback is noticed."""
    write(path, [({"n": 1}, b"old")])
    old = path.read_bytes()
    path.unlink()
    write(path, [])
    path.write_bytes(path.read_bytes() + old[HEADER_BYTES:])
    assert read(path)[0] == []
