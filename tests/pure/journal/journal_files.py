"""Journals with records, for the tests of the file."""

import os

from hpcml.journal.journal_file import JournalFile
from hpcml.journal.records import JournalReader

KEY = bytes(range(32))


def write(path, records, key=KEY):
    journal = JournalFile(path, key)
    for head, body in records:
        journal.append(head, body)
    journal.close()


def read(path, more=(), key=KEY):
    """Open a journal and append `more`; return the records from before, and the damages."""
    found = []
    journal = JournalFile(path, key, found.append)
    records = [(record.head, journal.read(record)) for record in found]
    for head, body in more:
        journal.append(head, body)
    journal.close()
    return records, journal.damages


def record_offsets(path, key=KEY):
    """Return the offset of each record, and of the end of the last."""
    with open(path, "rb") as file:
        reader = JournalReader(file.fileno(), key, path)
        starts = [record.start for record in reader.items()]
        return [*starts, reader.end]


def make_records(count, sizes=(0, 7, 40)):
    return [({"task": str(n), "é": "\udc80"}, os.urandom(sizes[n % len(sizes)])) for n in range(count)]
