"""Notes about tasks: the journal comes first, and a display that fails harms no task."""

import warnings

import pytest

from hpcml.cluster.monitor import Monitor
from hpcml.cluster.progress import Totals
from hpcml.data.envelope import Call, RecordedOutcome
from hpcml.data.outcomes import Outcome
from hpcml.errors import JournalFull, TaskTimeout, WorkerDied


class Display:
    def __init__(self):
        self.shown = []
        self.written = []

    def update(self, group, done, expected):
        self.shown.append((group, done, expected))

    def write(self, text, *, error=False):
        self.written.append((text, error))


class Journal:
    def __init__(self):
        self.entries = []

    def expect(self, group, tasks):
        self.entries.append(("expect", group, tasks))

    def finished(self, call, outcome, packed):
        self.entries.append(("finished", call.name, bytes(packed)))

    def failed(self, call, error, worker, seconds):
        self.entries.append(("failed", call.name, error, worker, seconds))

    def running(self, *changes):
        self.entries.append(("running", *changes))

    def died(self, worker, cause, names):
        self.entries.append(("died", worker, cause, names))


CALL = Call(b"", b"", "work", "group")
CHUNK = CALL._replace(keys=("a", "b", "c"))


@pytest.fixture
def monitor():
    return Monitor(Totals(), Display(), Journal())


def test_an_outcome_is_recorded_and_counted(monitor):
    monitor.expect("group", 4)
    monitor.finished(CALL, Outcome(value=1, seconds=2.0), b"packed")
    monitor.finished(CHUNK, Outcome(value=[1, 2, 3], seconds=3.0), memoryview(b"chunk"))
    assert monitor._run_journal.entries == [
        ("expect", "group", 4),
        ("finished", "work", b"packed"),
        ("finished", "work", b"chunk"),
    ]
    assert (monitor.totals.tasks, monitor.totals.failed, monitor.totals.busy) == (4, 0, 5.0)
    assert monitor.display.shown == [("group", 1, 4), ("group", 4, 4)]


def test_the_call_of_a_chunk_that_failed_counts_after_those_that_have_ended(monitor):
    monitor.finished(CHUNK, Outcome(value=[1], error=ValueError()), b"")
    assert (monitor.totals.tasks, monitor.totals.failed) == (2, 1)


def test_without_a_known_number_none_is_shown(monitor):
    monitor.finished(CALL, Outcome(), b"")
    assert monitor.display.shown == [("group", 1, None)]


def test_a_lost_task_and_a_death_are_recorded(monitor):
    monitor.failed(CALL, TaskTimeout("late"), "n1:3", 2.0)
    monitor.died(WorkerDied("killed", "n1:3"), [CALL, CHUNK])
    assert monitor._run_journal.entries == [
        ("failed", "work", "TaskTimeout", "n1:3", 2.0),
        ("died", "n1:3", "killed", ["work", "work"]),
    ]
    assert (monitor.totals.tasks, monitor.totals.failed) == (1, 1)


def test_a_restored_result_counts_as_recalled(monitor):
    monitor.restored(RecordedOutcome(Outcome(value=1), "group"))
    assert (monitor.totals.tasks, monitor.totals.recalled) == (0, 1)
    assert monitor.display.shown == [("group", 1, None)]


def test_a_display_that_fails_harms_no_task(monitor):
    def fail(*_, **__):
        raise BrokenPipeError

    monitor.display.update = monitor.display.write = fail
    monitor.finished(CALL, Outcome(value=1), b"packed")
    monitor.printed("n1:3", 0, b"line\n", False)
    assert monitor._run_journal.entries


def test_a_journal_that_fails_is_raised(monitor):
    def fail(*_):
        raise JournalFull("no space")

    monitor._run_journal.finished = fail
    with pytest.raises(JournalFull):
        monitor.finished(CALL, Outcome(value=1), b"packed")
    assert monitor.totals.tasks == 0


def test_prints_are_whole_lines_on_their_stream(monitor):
    monitor.printed("n1:3", 0, b"one\ntw", False)
    monitor.printed("n1:3", 1, b"error\n", False)
    monitor.printed("n1:3", 0, b"o\n", True)
    assert monitor.display.written == [("[n1:3] one", False), ("[n1:3] error", True), ("[n1:3] two", False)]


def test_each_distinct_warning_of_tasks_is_issued_once(monitor):
    record = ("careful", UserWarning, "script.py", 3)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for warned in ((record,), (record,), (("other", UserWarning, "script.py", 3),)):
            monitor.finished(CALL, Outcome(warnings=warned), b"")
    assert [str(one.message) for one in seen] == ["careful", "other"]


def test_a_warning_that_a_filter_makes_an_error_is_logged(monitor, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor.finished(CALL, Outcome(warnings=(("careful", UserWarning, "script.py", 3),)), b"")
    assert "a task warned: UserWarning: careful" in caplog.text
    assert monitor.totals.tasks == 1
