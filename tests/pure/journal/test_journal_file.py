"""The journal: cut anywhere, damaged anywhere, on a full disk, forged; what is read is what was written."""

import itertools
import logging
import os
import pickle
import resource
import subprocess
import threading
import zlib

import pytest

import hpcml.journal.journal_file
from hpcml.errors import HpcmlError, JournalFull
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.records import HEADER_BYTES, MARK, PREFIX, Damage, JournalReader, pack_record

KEY = bytes(range(32))


def write(path, records, key=KEY):
    journal = JournalFile(path, key)
    for head, body in records:
        journal.append(head, body)
    journal.close()


def read(path, more=(), key=KEY):
    """Open a journal, append `more`, and return what was there before and what is damaged."""
    found = []
    journal = JournalFile(path, key, found.append)
    records = [(record.head, journal.read(record)) for record in found]
    for head, body in more:
        journal.append(head, body)
    journal.close()
    return records, journal.damages


def places(path, key=KEY):
    """Return where each record begins, and where the last one ends."""
    with open(path, "rb") as file:
        reader = JournalReader(file.fileno(), key, path)
        starts = [record.start for record in reader.items()]
        return [*starts, reader.end]


def some(count, sizes=(0, 7, 40)):
    return [({"task": str(n), "é": "\udc80"}, os.urandom(sizes[n % len(sizes)])) for n in range(count)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


def test_what_is_written_is_read_in_order(path):
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


def test_truncated_at_every_byte(path, caplog):
    """F11: what is whole before the cut is read; the next session's records can be read by the one after it."""
    records = some(14)
    write(path, records)
    content, starts = path.read_bytes(), places(path)
    assert len(content) >= 1000
    new = ({"task": "new"}, b"result")
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        whole = records[: max(sum(start <= cut for start in starts) - 1, 0)]
        assert read(path, [new])[0] == whole, cut
        assert read(path) == ([*whole, new], []), cut
    assert not caplog.records  # this is what a crash leaves
    assert not path.with_name("journal.bad").exists()


def test_cut_in_the_middle_of_a_large_body(path):
    records = [*some(3), ({"task": "large"}, os.urandom(3 << 20))]
    write(path, records)
    content = path.read_bytes()
    for cut in (1 << 20, 2 << 20, len(content) - 1):
        path.write_bytes(content[:cut])
        assert read(path, records[3:])[0] == records[:3]
        assert read(path) == (records, [])


def damaged(path, content, starts, records, flip):
    """Flip a bit and check that the record it is in is told, put aside, and the only one that is lost."""
    place, bit = flip
    bad = path.with_name("journal.bad")
    bad.unlink(missing_ok=True)
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    path.write_bytes(changed)
    hit = max(number for number, start in enumerate(starts[:-1]) if start <= place)
    others = records[:hit] + records[hit + 1 :]
    found, damages = read(path)
    assert found == others, (place, bit)
    (damage,) = damages
    assert (damage.offset, damage.offset + damage.nbytes) == (starts[hit], starts[hit + 1])
    if not damage.torn:
        assert bad.read_bytes() == bytes(changed[starts[hit] : starts[hit + 1]])
    again = records[hit]
    assert read(path, [again])[0] == others
    assert read(path)[0] == [*others, again]
    return damage


def test_one_bit_flipped_at_every_97th_byte(path, caplog):
    """F12: the record is put aside, all others are used, and the task's next record takes its place."""
    records = some(150, (0, 20, 300))
    write(path, records)
    content, starts = path.read_bytes(), places(path)
    flipped = range(HEADER_BYTES, len(content), 97)
    assert len(flipped) > 150
    for number, place in enumerate(flipped):
        caplog.clear()
        assert not damaged(path, content, starts, records, (place, number % 8)).torn
        assert "is damaged in 1 places" in caplog.text


@pytest.mark.parametrize("which", [2, -1])
def test_every_bit_of_a_prefix(path, which):
    records = some(5)
    write(path, records)
    content, starts = path.read_bytes(), places(path)
    start = starts[:-1][which]
    torn = [
        damaged(path, content, starts, records, (start + byte, bit)).torn
        for byte in range(PREFIX.size)
        for bit in range(8)
    ]
    # A length that is too large looks like a record whose writing was cut off, where nothing follows it.
    assert not any(torn) if which == 2 else sum(torn) < 64


def test_a_damaged_header_is_refused(path):
    write(path, some(3))
    content = path.read_bytes()
    for place in range(HEADER_BYTES):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(HpcmlError, match="start a new run"):
            JournalFile(path, KEY)
        assert path.read_bytes() == changed  # nothing is lost by looking


def test_damage_in_several_places_and_a_torn_end(path):
    records = some(9)
    write(path, records)
    content, starts = bytearray(path.read_bytes()), places(path)
    for start in (starts[1], starts[2], starts[6]):
        content[start + 30] ^= 1
    path.write_bytes(content[:-1])
    found, damages = read(path, [({"n": 1}, b"")])
    assert found == [records[n] for n in (0, 3, 4, 5, 7)]
    assert [(damage.offset, damage.tail, damage.torn) for damage in damages] == [
        (starts[1], False, False),
        (starts[6], False, False),
        (starts[8], True, True),
    ]
    assert path.with_name("journal.bad").read_bytes() == bytes(
        content[starts[1] : starts[3]] + content[starts[6] : starts[7]]
    )
    assert len(read(path)[0]) == 6


def test_zeros_at_the_end_as_a_power_cut_leaves_them(path):
    write(path, some(3))
    with path.open("ab") as file:
        file.write(bytes(5000))
    found, damages = read(path, [({"n": 1}, b"x")])
    assert (len(found), len(damages)) == (3, 1)
    assert read(path)[1] == []


def test_marks_in_bodies_do_not_mislead_the_search(path):
    fake = PREFIX.pack(MARK, 10, 1, bytes(16))
    records = [({"n": n}, fake * 20 + MARK) for n in range(5)]
    write(path, records)
    content, starts = path.read_bytes(), places(path)
    damaged(path, content, starts, records, (starts[1], 0))
    damaged(path, content, starts, records, (starts[3] + 50, 0))


# ---- S6: what somebody else has put there


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def plant(path, prefix_and_line, body):
    with path.open("ab") as file:
        file.write(prefix_and_line + body + b"\n")


def test_a_forged_record_is_not_looked_into(path, tmp_path):
    write(path, some(2))
    body = pickle.dumps(Canary(str(tmp_path / "canary")))
    line = b'{"task":"x"}\n'
    checksum = zlib.crc32(body, zlib.crc32(line))
    plant(path, PREFIX.pack(MARK, len(line) + len(body), checksum, bytes(16)) + line, body)
    found, (damage,) = read(path)
    assert len(found) == 2
    assert not damage.torn


def test_a_moved_record_is_no_record(path):
    records = [({"n": n}, bytes([n]) * 10) for n in range(4)]
    write(path, records)
    content, starts = path.read_bytes(), places(path)
    pieces = [content[a:b] for a, b in itertools.pairwise(starts)]
    path.write_bytes(content[: starts[0]] + pieces[0] + pieces[2] + pieces[1] + pieces[3])
    assert read(path)[0] == [records[0], records[3]]
    path.write_bytes(content + pieces[0])  # once more, at the end
    assert read(path)[0] == records


def test_a_record_of_another_journal_with_the_same_key(path, tmp_path):
    other = tmp_path / "other"
    write(path, [({"n": 1}, b"mine")])
    write(other, [({"n": 1}, b"none")])
    path.write_bytes(path.read_bytes()[:HEADER_BYTES] + other.read_bytes()[HEADER_BYTES:])
    assert read(path)[0] == []


def test_another_journal_with_another_key_is_refused(path):
    write(path, some(2), key=b"another key")
    with pytest.raises(HpcmlError, match="was not written with the key of this run"):
        JournalFile(path, KEY)


def test_a_body_that_is_changed_while_it_is_in_use_is_not_given_out(path):
    write(path, [({"n": 1}, b"right")])
    found = []
    journal = JournalFile(path, KEY, found.append)
    with path.open("r+b") as file:
        file.seek(found[0].offset)
        file.write(b"wrong")
    with pytest.raises(HpcmlError, match="was changed"):
        journal.read(found[0])
    journal.close()


def test_a_record_at_its_old_place_in_a_new_journal(path):
    """The random bytes of the header differ, so a rollback of a part is seen."""
    write(path, [({"n": 1}, b"old")])
    old = path.read_bytes()
    path.unlink()
    write(path, [])
    path.write_bytes(path.read_bytes() + old[HEADER_BYTES:])
    assert read(path)[0] == []


# ---- F10: a disk that is full


@pytest.mark.skipif(os.getuid() != 0, reason="a file system of 64 kB is mounted, which needs root")
def test_a_full_disk(small_mount):
    place = small_mount("small", "64k")
    journal = JournalFile(place / "journal", KEY)
    records = [({"n": n}, os.urandom(3000)) for n in range(30)]
    told = []
    for record in records:
        try:
            journal.append(*record)
        except JournalFull as error:
            told.append(str(error))
    (message,) = told
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


@pytest.fixture
def file_limit():
    """Set the longest file that this process may write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda nbytes: resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_of_the_length_of_files(path, file_limit):
    records = [({"n": n}, os.urandom(500)) for n in range(10)]
    journal = JournalFile(path, KEY)
    told = []
    file_limit(2000)  # in the middle of a record, a part of which is written
    for record in records:
        try:
            journal.append(*record)
        except JournalFull as error:
            told.append(str(error))
    file_limit(resource.RLIM_INFINITY)
    assert len(told) == 1
    assert "File too large" in told[0]
    kept, damages = read_live(path)
    assert kept == records[: len(kept)]
    assert kept
    assert damages == []
    journal.append({"n": 10}, b"")
    journal.close()
    assert read(path) == ([*records, ({"n": 10}, b"")], [])


@pytest.mark.parametrize("limit", [0, 10, HEADER_BYTES - 1])
def test_no_room_for_a_new_journal(path, file_limit, limit):
    file_limit(limit)
    try:
        with pytest.raises(JournalFull, match="File too large"):
            JournalFile(path, KEY)
    finally:
        file_limit(resource.RLIM_INFINITY)
    write(path, some(1))
    assert len(read(path)[0]) == 1


def test_it_is_told_again_when_there_was_room_in_between(path, file_limit):
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


def test_what_is_held_is_bounded_and_sessions_are_kept(path, file_limit, monkeypatch):
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


def test_what_the_disk_refuses_later_is_told_by_the_next_append(path, monkeypatch):
    """NFS and quotas may say so only when the data is flushed."""

    def refuse(_):
        raise OSError(122, "Disk quota exceeded")

    journal = JournalFile(path, KEY)
    journal.append({"n": 1}, b"")
    monkeypatch.setattr(os, "fdatasync", refuse)
    journal.sync()
    with pytest.raises(JournalFull, match="Disk quota exceeded"):
        journal.append({"n": 2}, b"")
    journal.sync()
    journal.append({"n": 3}, b"")  # once
    monkeypatch.undo()
    journal.close()
    assert [head["n"] for head, _ in read(path)[0]] == [1, 2, 3]


# ---- threads


def test_sync_and_close_in_several_threads(path):
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


def test_after_the_end_nothing_touches_the_descriptor(path, caplog):
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


def test_appends_of_many_threads(path):
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


def test_packing_binds_the_place():
    at = [pack_record(KEY, bytes(16), offset, b"{}", b"") for offset in (0, 1)]
    assert at[0] != at[1]
