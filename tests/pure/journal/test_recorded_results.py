"""Results that earlier sessions have recorded: which of them a resumed run uses, and which tasks run again."""

import os
import pickle
import sys
import zlib

import pytest
from recorded_runs import ME, NEW, OLD, finish, flip_bit, offsets_of, opened, read_heads, recorded_values, unknown

from hpcml.data.outcomes import Execution, pack_outcome
from hpcml.journal.run_journal import RunJournal


def test_a_recorded_result_is_used_once(run):
    run_journal = opened(run)
    for number in range(3):
        finish(run_journal, "f", f"d{number}", number)
    run_journal.close("ended")
    run_journal = opened(run)
    assert (run_journal.session, run_journal.reusable, run_journal.outdated) == (2, 3, 0)
    outcome = run_journal.recorded_outcome("d1")
    assert (outcome.value, outcome.worker, outcome.started, outcome.seconds) == (1, "n1:0", 1.0, 2.0)
    assert run_journal.recorded_outcome("d1") is None
    assert run_journal.used == 1
    run_journal.close("ended")


def test_equal_calls_are_numbered(run):
    run_journal = opened(run)
    for value in "abc":
        finish(run_journal, "f", "same", value)
    run_journal.close("ended")
    run_journal = opened(run)
    assert recorded_values(run_journal, "same", "other", "same", "same", "same") == ["a", None, "b", "c", None]
    run_journal.close("ended")


def test_a_task_that_raised_or_has_no_key_runs_again(run):
    run_journal = opened(run)
    finish(run_journal, "f", "bad", None, KeyError("x"))
    finish(run_journal, "f", "", 5)
    finish(run_journal, "f", "good", 6)
    run_journal.close("ended")
    run_journal = opened(run)
    assert run_journal.reusable == 1
    assert recorded_values(run_journal, "bad", "", "good") == [None, None, 6]
    run_journal.close("ended")


def test_results_of_other_versions_are_not_used(run):
    run_journal = opened(run)
    for digest in ("a", "b"):
        finish(run_journal, "f", digest, "old")
    run_journal.close("ended")
    run_journal = opened(run, NEW)
    assert (run_journal.reusable, run_journal.outdated, run_journal.other_versions) == (0, 2, OLD)
    assert recorded_values(run_journal, "a") == [None]
    run_journal._uses.clear()
    for digest in ("a", "b"):
        finish(run_journal, "f", digest, "new")
    run_journal.close("ended")
    run_journal = opened(run, NEW)
    assert (run_journal.reusable, run_journal.outdated) == (2, 0)
    assert recorded_values(run_journal, "a", "b") == ["new", "new"]
    run_journal.close("ended")
    run_journal = opened(run, OLD)  # the versions of the first session again: its results are right
    assert recorded_values(run_journal, "a", "b") == ["old", "old"]
    run_journal.close("ended")


def test_results_are_used_though_the_record_of_their_session_is_lost(run):
    """F12: the versions of its tasks are still known, and the journal does not count as an empty one."""
    for versions, value in ((OLD, "old"), (NEW, "new")):
        run_journal = opened(run, versions)
        finish(run_journal, "f", "a", value)
        finish(run_journal, "g", f"only {value}", value)
        run_journal.close("ended")
    for session in (1, 2):
        _, start = offsets_of(run, lambda head, session=session: head.get("session") == session)
        flip_bit(run / "journal", start + 40)
    for versions, value in ((OLD, "old"), (NEW, "new")) * 2:
        run_journal = RunJournal(run, ME, versions, unknown)
        assert recorded_values(run_journal, "a", f"only {value}") == [value, value]
        run_journal.close("ended")  # no task has run
    assert (run / "journal").exists()


def test_a_damaged_task_runs_again_and_no_name_number_is_reused(run, caplog):
    run_journal = opened(run)
    for name in ("f", "g", "h"):
        finish(run_journal, name, name, name.upper())
    run_journal.close("ended")
    flip_bit(run / "journal", offsets_of(run, lambda head: head.get("task", "").endswith(":g"))[0])
    flip_bit(run / "journal", offsets_of(run, lambda head: head.get("is") == "h")[1] + 40)
    run_journal = opened(run)
    assert "is damaged in 1 places" in caplog.text  # the two records are neighbours
    assert recorded_values(run_journal, "f", "g", "h") == ["F", None, "H"]
    run_journal._uses.clear()
    finish(run_journal, "g", "g", "again")
    finish(run_journal, "new", "new", 1)
    run_journal.close("ended")
    names = [head["name"] for head in read_heads(run) if "is" in head]
    assert len(set(names)) == len(names) == 3
    assert 2 not in names  # the number whose record was lost: tasks refer to it
    run_journal = opened(run)
    assert recorded_values(run_journal, "f", "g", "h", "new") == ["F", "again", "H", 1]
    run_journal.close("ended")


class Gone:
    """Class that the next session does not have."""


def test_a_result_that_cannot_be_unpickled_any_more_runs_again(run, caplog, monkeypatch):
    run_journal = opened(run)
    finish(run_journal, "f", "a", Gone())
    finish(run_journal, "f", "b", 2)
    run_journal.close("ended")
    monkeypatch.delattr(sys.modules[__name__], "Gone")
    run_journal = opened(run)
    assert recorded_values(run_journal, "a", "b") == [None, 2]
    assert "a recorded result cannot be used, so its task runs again" in caplog.text
    run_journal.close("ended")


def test_a_result_that_cannot_be_read_runs_again(run, monkeypatch, caplog):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    run_journal = opened(run)

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    assert recorded_values(run_journal, "a") == [None]
    assert "cannot be read: Input/output error" in caplog.text
    monkeypatch.undo()
    run_journal.close("ended")


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("when", ["before", "while it is open"])
def test_a_forged_body_is_never_unpickled(run, tmp_path, when):
    """S6: the forged body has the right length, place and checksum."""
    run_journal = opened(run)
    evil = pack_outcome(Canary(str(tmp_path / "canary")), None, Execution(1.0, 2.0, 3), sys.maxsize)
    finish(run_journal, "f", "a", b"x" * len(evil))
    run_journal.close("ended")
    offset, start = offsets_of(run, lambda head: "task" in head)

    def tamper():
        content = bytearray((run / "journal").read_bytes())
        length = int.from_bytes(content[start + 4 : start + 12], "little")
        content[offset : offset + len(evil)] = evil
        payload = content[start + 32 : start + 32 + length]
        content[start + 12 : start + 16] = zlib.crc32(payload).to_bytes(4, "little")
        (run / "journal").write_bytes(content)

    if when == "before":
        tamper()
        run_journal = opened(run)
    else:
        run_journal = opened(run)
        with (run / "journal").open("r+b") as file:
            file.seek(offset)
            file.write(evil)
    assert recorded_values(run_journal, "a") == [None]
    assert not (tmp_path / "canary").exists()
    run_journal.close("ended")
    pickle.loads(evil)  # unpickling would have made the directory
    assert (tmp_path / "canary").exists()


def test_a_session_without_tasks_keeps_the_journal(run):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    for _ in range(2):
        opened(run).close("ended")
    run_journal = opened(run)
    assert recorded_values(run_journal, "a") == [1]
    run_journal.close("ended")
