"""A journal that is cut or damaged anywhere: only the damaged records are lost."""

import os

import pytest
from journal_files import KEY, make_records, read, record_offsets, write

from hpcml.errors import HpcmlError
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.records import HEADER_BYTES, MARK, PREFIX


def test_a_journal_truncated_at_any_byte_keeps_its_whole_records(path, caplog):
    """F11: the whole records before the cut are read; the next session's records as well."""
    records = make_records(14)
    write(path, records)
    content, starts = path.read_bytes(), record_offsets(path)
    assert len(content) >= 1000
    new = ({"task": "new"}, b"result")
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        whole = records[: max(sum(start <= cut for start in starts) - 1, 0)]
        assert read(path, [new])[0] == whole, cut
        assert read(path) == ([*whole, new], []), cut
    assert not caplog.records  # a crash leaves such a file
    assert not path.with_name("journal.bad").exists()


def test_a_large_body_that_is_cut_is_dropped(path):
    records = [*make_records(3), ({"task": "large"}, os.urandom(3 << 20))]
    write(path, records)
    content = path.read_bytes()
    for cut in (1 << 20, 2 << 20, len(content) - 1):
        path.write_bytes(content[:cut])
        assert read(path, records[3:])[0] == records[:3]
        assert read(path) == (records, [])


def damaged(path, content, starts, records, flip):
    """Flip a bit; check that its record is reported, moved aside, and the only one that is lost."""
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


def test_a_flipped_bit_costs_one_record(path, caplog):
    """F12: the record is moved aside, all others are used, and the task's next record replaces it."""
    records = make_records(150, (0, 20, 300))
    write(path, records)
    content, starts = path.read_bytes(), record_offsets(path)
    flipped = range(HEADER_BYTES, len(content), 97)
    assert len(flipped) > 150
    for number, place in enumerate(flipped):
        caplog.clear()
        assert not damaged(path, content, starts, records, (place, number % 8)).torn
        assert "is damaged in 1 places" in caplog.text


@pytest.mark.parametrize("which", [2, -1])
def test_a_flipped_bit_of_a_prefix_costs_one_record(path, which):
    records = make_records(5)
    write(path, records)
    content, starts = path.read_bytes(), record_offsets(path)
    start = starts[:-1][which]
    torn = [
        damaged(path, content, starts, records, (start + byte, bit)).torn
        for byte in range(PREFIX.size)
        for bit in range(8)
    ]
    # A length that is too large looks like a record whose writing was cut off, if no record follows.
    assert not any(torn) if which == 2 else sum(torn) < 64


def test_a_damaged_header_is_refused(path):
    write(path, make_records(3))
    content = path.read_bytes()
    for place in range(HEADER_BYTES):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(HpcmlError, match="start a new run"):
            JournalFile(path, KEY)
        assert path.read_bytes() == changed  # opening changes nothing


def test_damage_in_several_places_and_a_torn_end_are_reported(path):
    records = make_records(9)
    write(path, records)
    content, starts = bytearray(path.read_bytes()), record_offsets(path)
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


def test_zeros_at_the_end_are_dropped(path):
    write(path, make_records(3))
    with path.open("ab") as file:
        file.write(bytes(5000))
    found, damages = read(path, [({"n": 1}, b"x")])
    assert (len(found), len(damages)) == (3, 1)
    assert read(path)[1] == []


def test_marks_in_bodies_do_not_mislead_the_search(path):
    fake = PREFIX.pack(MARK, 10, 1, bytes(16))
    records = [({"n": n}, fake * 20 + MARK) for n in range(5)]
    write(path, records)
    content, starts = path.read_bytes(), record_offsets(path)
    damaged(path, content, starts, records, (starts[1], 0))
    damaged(path, content, starts, records, (starts[3] + 50, 0))
