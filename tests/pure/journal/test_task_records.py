"""Records of tasks: names and modules are recorded once; a failed chunk keeps its finished calls."""

import json

import pytest

from hpcml.data.envelope import Call
from hpcml.data.outcomes import Outcome, unpack_outcome
from hpcml.journal.recorded_results import RecordedResults
from hpcml.journal.task_records import TaskRecords


@pytest.fixture
def appended():
    """Heads and bodies that are appended, in order."""
    return []


@pytest.fixture
def records(appended):
    """Writer of records for a new run."""
    return TaskRecords(
        lambda head, body: appended.append((dict(head), bytes(body))), "v1", RecordedResults("v1", None)
    )


def call(name="f", key="k", keys=()):
    return Call(b"", b"", name, "group", None, key, keys=keys)


def outcome(value=None, error=None, **fields):
    return Outcome(value, error, "n1:0", 1.0, 6.0, 3, **fields)


def tasks(appended):
    return [(head, body) for head, body in appended if "task" in head or "keys" in head]


def test_a_name_is_recorded_once_and_numbered(records, appended):
    for name in ("f", "g", "f"):
        records.finished(call(name), outcome(1), b"packed")
    assert [head for head, _ in appended if "is" in head] == [{"name": 0, "is": "f"}, {"name": 1, "is": "g"}]
    assert [head["name"] for head, _ in tasks(appended)] == [0, 1, 0]


def test_numbers_of_earlier_sessions_are_not_reused(records, appended):
    records.restore({"name": 4, "is": "f"})
    records.restore({"name": 7, "task": ""})
    records.finished(call("f"), outcome(1), b"packed")
    records.finished(call("new"), outcome(1), b"packed")
    assert [head["name"] for head, _ in tasks(appended)] == [4, 8]


def test_only_a_result_with_a_key_has_a_body(records, appended):
    records.finished(call(), outcome(1), b"packed")
    records.finished(call(key=""), outcome(1), b"packed")
    records.finished(call(), outcome(error=KeyError("x")), b"packed")
    assert [(head["task"], head.get("error"), body) for head, body in tasks(appended)] == [
        ("v1:k", None, b"packed"), ("", None, b""), ("v1:k", "KeyError", b"")
    ]  # fmt: skip


def test_a_failed_chunk_has_a_record_of_its_finished_calls_and_one_of_the_failed_call(records, appended):
    chunk = call(keys=("a", "b", "c", "d"))
    records.finished(chunk, outcome([10, 20], ValueError("third")), b"")
    (done, packed), (failed, empty) = tasks(appended)
    assert (done["keys"], done["s"], unpack_outcome(packed, "n1:0").value) == (("a", "b"), 4.0, [10, 20])
    assert (failed["task"], failed["error"], failed["s"], empty) == ("v1:c", "ValueError", 2.0, b"")


def test_modules_of_a_worker_are_recorded_once(records, appended):
    modules = json.dumps({"mine": ["mine.py", "digest"]}).encode()
    for _ in range(2):
        records.finished(call(), outcome(1, modules=modules), b"packed")
    (code,) = [head for head, _ in appended if "code" in head]
    assert code["of"] == {"mine": ["mine.py", "digest"]}
    assert [head["c"] for head, _ in tasks(appended)] == [code["code"]] * 2


def test_deaths_and_failures_have_no_body(records, appended):
    records.failed(call(key="", keys=("a", "b")), "WorkerDied", "n1:0", 2.5)
    records.died("n1:0", "signal SIGKILL", ["f", "g"])
    assert [body for _, body in appended] == [b""] * 3
    assert [(head.get("task"), head.get("error"), head.get("death")) for head, _ in appended[1:]] == [
        ("a", "WorkerDied", None), (None, None, "n1:0")
    ]  # fmt: skip
    assert (appended[1][0]["at"], appended[1][0]["s"]) == ("n1:0", 2.5)


def test_changes_in_what_workers_do_are_one_record(records, appended):
    records.running({"n1:0": ("f", 100.04), "n1:1": None, "n2:0": ("f", 101.0)}, 7, 59.6)
    (name, _), (head, body) = appended
    assert name == {"name": 0, "is": "f"}
    assert {**head, "now": 0} == {
        "now": 0, "running": {"n1:0": [0, 100.0], "n1:1": None, "n2:0": [0, 101.0]}, "waiting": 7, "left": 60
    }  # fmt: skip
    assert body == b""
