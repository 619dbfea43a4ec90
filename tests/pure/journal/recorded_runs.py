"""Runs with a journal, for the tests of a run's files."""

import sys

from hpcml.cluster.options import Options
from hpcml.data.envelope import Call
from hpcml.data.outcomes import Execution, Outcome, pack_outcome
from hpcml.journal import runs as sessions
from hpcml.journal.lease import this_process
from hpcml.journal.private_files import read_secret
from hpcml.journal.records import Damage, JournalReader
from hpcml.journal.run_journal import RunJournal
from hpcml.journal.runs import open_run

ME = this_process()
OLD, NEW = {"numpy": "1"}, {"numpy": "2"}


def unknown(job):
    return None


def opened(directory, versions=OLD, **settings):
    run_journal = RunJournal(directory, ME, versions, unknown, **settings)
    run_journal.begin(engine="local", slots={}, cpus=1, cpus_per_slot=1)
    return run_journal


def finish(run_journal, name, digest, value, error=None):
    """Record a task and return its key."""
    key = run_journal.number_keys([digest])[0] if digest else ""
    packed = pack_outcome(value, None, Execution(1.0, 2.0, 3), sys.maxsize)
    call = Call(b"", b"", name, "group", None, key)
    run_journal.finished(call, Outcome(value, error, "n1:0", 1.0, 2.0, 3), packed)
    return key


def recorded_values(run_journal, *digests):
    """Return the recorded values of the next calls with these digests; None where there is none."""
    outcomes = [run_journal.recorded_outcome(run_journal.number_keys([digest])[0]) for digest in digests]
    return [None if outcome is None else outcome.value for outcome in outcomes]


def read_heads(directory):
    with open(directory / "journal", "rb") as file:
        reader = JournalReader(file.fileno(), read_secret(directory / "key"), directory / "journal")
        return [item.head for item in reader.items() if not isinstance(item, Damage)]


def offsets_of(directory, wanted):
    """Return the offset of the body of the first `wanted` record in the journal, and of the record itself."""
    with open(directory / "journal", "rb") as file:
        reader = JournalReader(file.fileno(), read_secret(directory / "key"), directory / "journal")
        items = [item for item in reader.items() if not isinstance(item, Damage)]
        return next((item.offset, item.start) for item in items if wanted(item.head))


def flip_bit(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def make_run(base, monkeypatch, argv=("script.py",), environment=None, value=1):
    """Make a run of a script in which one task has ended; return its directory."""
    monkeypatch.setattr(sessions, "_numbers", iter(range(9)))
    directory, run_journal = open_run(Options(run_dir=base), "local", list(argv), environment or {})
    run_journal.begin()
    finish(run_journal, "f", "a", value)
    run_journal.close("ended")
    return directory


def reopen(base, monkeypatch, resume=True, argv=("script.py",), environment=None):
    monkeypatch.setattr(sessions, "_numbers", iter(range(9)))
    return open_run(Options(run_dir=base, resume=resume), "local", list(argv), environment or {})
