"""The journal of a run: one driver at a time, a full disk, a network file system."""

import os
import resource
import sys
import threading
from pathlib import Path

import pytest
from network_files import NetworkFiles
from recorded_runs import finish, opened, recorded_values

from hpcml.errors import HpcmlError, JournalFull, RunInUse
from hpcml.journal.runs import note_last_run


def test_equal_calls_of_several_threads_get_a_number_each(run):
    run_journal = opened(run)
    keys = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: keys.extend([run_journal.number_keys(["d"])[0] for _ in range(2000)]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(before)
    assert len(set(keys)) == len(keys) == 8000
    run_journal.close("ended")


def test_a_whole_journal_of_another_run_is_refused(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    for directory in (run, other):
        run_journal = opened(directory)
        finish(run_journal, "f", "a", directory.name)
        run_journal.close("ended")
    (run / "journal").write_bytes((other / "journal").read_bytes())
    with pytest.raises(HpcmlError, match="not written with the key of this run"):
        opened(run)
    (run / "journal").unlink()
    run_journal = opened(run)  # the lease was released
    run_journal.close("ended")


def test_a_second_driver_is_refused_and_changes_nothing(run):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    before = (run / "journal").read_bytes()
    with pytest.raises(RunInUse, match=f"process {os.getpid()}"):
        opened(run)
    assert (run / "journal").read_bytes() == before
    run_journal.close("ended")


def test_a_run_without_tasks_leaves_no_file(run):
    for _ in range(3):
        run_journal = opened(run)
        run_journal.adopt_file(note_last_run(run.parent, "label", run))
        run_journal.close("ended")
        assert os.listdir(run) == []
        assert os.listdir(run.parent) == ["run"]


def test_the_lease_outlives_the_files_of_a_run_that_is_removed(run, monkeypatch):
    """A driver that begins meanwhile must not lose its journal."""
    run_journal = opened(run)
    refused = []
    real = Path.unlink

    def unlink(path, **kwargs):
        if path.name in ("journal", "key"):
            with pytest.raises(RunInUse):
                opened(run)
            refused.append(path.name)
        return real(path, **kwargs)

    monkeypatch.setattr(Path, "unlink", unlink)
    run_journal.close("ended")
    assert sorted(refused) == ["journal", "key"]


def test_a_full_disk_is_reported_once_and_waiting_records_are_written(run, file_limit, caplog):
    run_journal = opened(run)
    finish(run_journal, "f", "a", b"a" * 500)
    size = (run / "journal").stat().st_size
    file_limit(size + 100)
    for digest in "bcd":
        finish(run_journal, "f", digest, digest * 500)
    assert caplog.text.count("cannot take more than") == 1
    assert f"the journal {run}/journal cannot take more than its {size:,} bytes: File too large" in caplog.text
    assert "The run continues" in caplog.text
    file_limit(resource.RLIM_INFINITY)
    finish(run_journal, "f", "e", "e")
    run_journal.close("ended")
    run_journal = opened(run)
    assert recorded_values(run_journal, *"abcde") == [b"a" * 500, "b" * 500, "c" * 500, "d" * 500, "e"]
    run_journal.close("ended")


def test_a_full_disk_fails_the_task_of_a_required_journal(run, file_limit):
    run_journal = opened(run, required=True)
    finish(run_journal, "f", "a", 1)
    file_limit((run / "journal").stat().st_size + 10)
    with pytest.raises(JournalFull, match="cannot take more than"):
        finish(run_journal, "f", "b", 2)
    run_journal.close("stopped")  # does not report the error again
    file_limit(resource.RLIM_INFINITY)
    run_journal = opened(run)
    assert recorded_values(run_journal, "a") == [1]
    run_journal.close("ended")


def test_a_disk_that_refuses_the_last_result_is_reported_by_a_required_journal_too(run, monkeypatch, caplog):
    def refuse(_):
        raise OSError(122, "Disk quota exceeded")

    run_journal = opened(run, required=True)
    finish(run_journal, "f", "a", 1)
    monkeypatch.setattr(os, "fdatasync", refuse)
    run_journal.sync()
    run_journal.close("ended")
    assert f"the journal {run}/journal cannot take more than" in caplog.text


@pytest.mark.parametrize("link", ["done", "lost", "exists"])
def test_a_run_on_a_network_file_system_is_resumed(run, monkeypatch, link):
    """F14: no locks, no O_APPEND, no listings, late names, lost answers, wrong times, ESTALE at the first open."""
    network = NetworkFiles(monkeypatch, run)
    network.link = link
    network.names_are_stale = True
    for session in range(1, 4):
        run_journal = opened(run)
        assert (run_journal.session, run_journal.reusable) == (session, session - 1)
        with pytest.raises(RunInUse):
            opened(run)
        finish(run_journal, "f", f"d{session}", session)
        run_journal.close("ended")
    run_journal = opened(run)
    assert recorded_values(run_journal, "d1", "d2", "d3") == [1, 2, 3]
    run_journal.close("ended")
    assert network.linked >= 4
