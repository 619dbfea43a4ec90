"""Short calls of a Parallel are sent in chunks; each is still a call of its own."""

import os
import pickle
import threading

import pytest
from joblib import Parallel, delayed

import hpcml
from hpcml.data.arguments import Plain
from hpcml.data.values import Values
from hpcml.engines import chunk_runner
from hpcml.errors import TaskError, WorkerDied

MANY = 3000


def parallel(calls):
    return Parallel(n_jobs=-1, backend="hpcml")(calls)


def double(number, shift=0):
    return 2 * number + shift


def note(number, path):
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return number


def note_or_raise(number, bad, path):  # `path` is a string, for chunks have plain arguments only
    if number == bad and not os.path.exists(f"{path}.go"):
        raise KeyError(f"number {number}")
    return note(number, path)


def exit_once(number, bad, path):
    if number == bad and not os.path.exists(path):
        note(os.getpid(), path)
        os._exit(1)
    return number


def exit_at(number, bad):
    if number == bad:
        os._exit(1)
    return number


def lock_at(number, bad):
    return threading.Lock() if number == bad else number


def print_at(number, bad):
    if number == bad:
        print("here I am")


def test_results_are_in_order_and_all_are_counted(cluster):
    before = cluster._session.monitor.totals.tasks
    assert parallel(delayed(double)(n) for n in range(MANY)) == [2 * n for n in range(MANY)]
    assert parallel(delayed(double)(n, shift=1) for n in range(MANY)) == [2 * n + 1 for n in range(MANY)]
    assert cluster._session.monitor.totals.tasks - before == 2 * MANY


def test_a_chunk_of_calls_takes_few_bytes_of_the_journal(cluster):
    before = os.stat(cluster._session.run_dir / "journal").st_size
    parallel(delayed(double)(n, 7) for n in range(MANY))
    assert os.stat(cluster._session.run_dir / "journal").st_size - before < 100 * MANY


def test_calls_of_different_functions_and_arguments_return_in_order(cluster):
    calls = [(double, abs)[n % 2] for n in range(MANY)]
    assert parallel(delayed(call)(-n) for n, call in enumerate(calls)) == [c(-n) for n, c in enumerate(calls)]
    lists = parallel(delayed(len)([0] * (n % 3)) for n in range(MANY))
    assert lists == [n % 3 for n in range(MANY)]


def test_captured_objects_are_as_sent_in_each_call(cluster):
    seen = []

    def count(number):
        seen.append(number)
        return len(seen)

    assert set(parallel(delayed(count)(n) for n in range(500))) == {1}


def test_the_first_call_that_raises_ends_the_parallel(cluster):
    with pytest.raises(KeyError, match="number 1700") as caught:
        parallel(delayed(note_or_raise)(n, 1700, os.devnull) for n in range(MANY))
    assert "note_or_raise" in str(caught.value.__cause__)
    assert parallel(delayed(double)(n) for n in range(9)) == [2 * n for n in range(9)]


def test_a_worker_that_dies_costs_no_result(cluster, tmp_path):
    marks = str(tmp_path / "marks")
    assert parallel(delayed(exit_once)(n, 1700, marks) for n in range(MANY)) == list(range(MANY))
    assert os.path.exists(marks)


def test_a_call_that_kills_its_workers_is_named(cluster):
    with pytest.raises(WorkerDied, match="exit_at ended 3 workers"):
        parallel(delayed(exit_at)(n, 1700) for n in range(MANY))


def test_a_result_that_cannot_be_sent_is_named(cluster):
    with pytest.raises(TaskError, match="lock"):
        parallel(delayed(lock_at)(n, 1700) for n in range(MANY))


def test_a_call_in_a_chunk_prints(cluster, monkeypatch):
    lines = []
    monkeypatch.setattr(cluster._session.display, "write", lambda text, error: lines.append(text))
    parallel(delayed(print_at)(n, 1700) for n in range(MANY))
    assert len(lines) == 1
    assert lines[0].endswith("] here I am")


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_no_finished_call_runs_again(engine, tmp_path):
    """The first session ends with an error; the next repeats none of its calls, whatever the batches are."""
    settings = {"slots_per_node": 2, "run_dir": tmp_path / "runs", "progress": False}
    notes = tmp_path / "notes"
    with hpcml.Cluster(engine, **settings) as cluster, pytest.raises(KeyError):
        parallel(delayed(note_or_raise)(n, MANY - 100, str(notes)) for n in range(MANY))
    before = notes.read_text().split()
    notes.with_suffix(".go").touch()
    with hpcml.Cluster(engine, resume=cluster._session.run_dir, **settings) as cluster:
        known = cluster._session.run_journal.reusable
        assert parallel(delayed(note_or_raise)(n, MANY - 100, str(notes)) for n in range(MANY)) == list(
            range(MANY)
        )
        assert cluster._session.monitor.totals.recalled == known
    assert MANY / 2 < known <= len(before)
    assert len(notes.read_text().split()) == len(before) + MANY - known


def test_a_chunk_past_its_time_runs_no_second_call(monkeypatch):
    monkeypatch.setattr(chunk_runner, "MAX_CHUNK_SECONDS", 0.0)
    values = Values(1000)
    calls = [((-number,), {}) for number in range(5)]
    chunk_runner.run_chunk(chunk_runner.Function(pickle.dumps(abs)), Plain(pickle.dumps(calls), 0, 5), values)
    assert values.packed().load(lambda _: None) == ([0], None)
