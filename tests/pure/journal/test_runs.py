"""Runs: the directory of a new one, the one that is resumed, and runs without room for their files."""

import logging
import os
import resource

import pytest
from recorded_runs import make_run, recorded_values, reopen

from hpcml.cluster.options import Options
from hpcml.errors import HpcmlError, JournalFull
from hpcml.journal import runs as sessions
from hpcml.journal.runs import last_run, new_run_dir, note_last_run, open_run, run_label


def test_script_arguments_and_array_task_identify_a_run(tmp_path, monkeypatch):
    calls = [
        (("script.py",), {}), (("script.py", "--fast"), {}), (("other.py",), {}), (("script.py", "", ""), {}),
        (("script.py",), {"SLURM_ARRAY_TASK_ID": "1"}), (("script.py",), {"SLURM_ARRAY_TASK_ID": "2"}), ((), {}),
    ]  # fmt: skip
    runs = [make_run(tmp_path, monkeypatch, *call, value=number) for number, call in enumerate(calls)]
    for number, call in enumerate(calls):
        directory, run_journal = reopen(tmp_path, monkeypatch, True, *call)
        assert directory == runs[number]
        assert recorded_values(run_journal, "a") == [number]
        run_journal.close("ended")


def test_where_there_is_nothing_to_resume_a_new_run_begins(tmp_path, monkeypatch, caplog):
    directory, run_journal = reopen(tmp_path / "base", monkeypatch)
    assert (run_journal.session, run_journal.reusable) == (1, 0)
    run_journal.close("ended")
    gone = make_run(tmp_path, monkeypatch)
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()
    directory, run_journal = reopen(tmp_path, monkeypatch)
    assert directory != gone
    assert run_journal.session == 1
    run_journal.close("ended")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_run_is_found_whose_name_has_other_bytes_than_those_of_an_encoding(tmp_path):
    """The names of scripts, and so of runs, are bytes for the file system."""
    directory = new_run_dir(tmp_path, os.fsdecode(b"\xfcber"))
    note_last_run(tmp_path, "label", directory)
    assert last_run(tmp_path, "label") == directory


def test_changed_versions_are_reported(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sessions, "versions", lambda: {"python": "3", "numpy": "1", "scipy": "1"})
    make_run(tmp_path, monkeypatch)
    monkeypatch.setattr(sessions, "versions", lambda: {"python": "3", "numpy": "2", "pandas": "1"})
    reopen(tmp_path, monkeypatch)[1].close("ended")
    assert (
        "1 recorded tasks run again, for versions have changed: numpy 1 -> 2, pandas none -> 1, scipy 1 -> none"
        in (caplog.text)
    )


def test_a_run_without_a_writable_directory_moves_to_the_temporary_one(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / ".hpcml").write_text("in the way")
    directory = make_run(None, monkeypatch)
    assert f"The logs go to {directory}, and so does the journal: resume with Cluster(resume='{directory}')" in (
        caplog.text
    )
    run_journal = reopen(None, monkeypatch, directory)[1]
    assert recorded_values(run_journal, "a") == [1]
    run_journal.close("ended")


def test_a_directory_without_a_journal_cannot_be_resumed(tmp_path, monkeypatch):
    place = tmp_path / "private"
    place.mkdir(mode=0o700)
    with pytest.raises(HpcmlError, match="holds no journal, so there is nothing to resume"):
        reopen(tmp_path, monkeypatch, place)
    assert os.listdir(place) == []
    with pytest.raises(HpcmlError, match="cannot be used: No such file"):
        reopen(tmp_path, monkeypatch, tmp_path / "nowhere")


@pytest.mark.parametrize("name", [b"", b"../run", b"/etc", b".ssh", b"\xff\x00/"])
def test_a_note_that_names_no_run_is_refused(tmp_path, name):
    (tmp_path / "last-label").write_bytes(name)
    (tmp_path / "last-label").chmod(0o600)
    with pytest.raises(HpcmlError, match="names no run: remove it"):
        last_run(tmp_path, "label")


def test_the_label_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = [run_label(["a.py", "1"], {}) for _ in range(2)]
    labels += [run_label(["a.py", "2"], {}), run_label(["a.py", "1"], {"SLURM_ARRAY_TASK_ID": "3"})]
    assert len(set(labels)) == 4
    kernel = ["/lib/ipykernel_launcher.py", "-f", "/run/kernel-1.json"]
    assert run_label([""], {}) == run_label([""], {}) == run_label(kernel, {})
    assert run_label([""], {}).startswith("interactive-")
    one, other = ({"JPY_SESSION_NAME": f"/home/u/{name}.ipynb"} for name in ("one", "other"))
    assert run_label(kernel, one) == run_label([kernel[0], "-f", "/run/kernel-2.json"], one)
    assert run_label(kernel, one) != run_label(kernel, other)
    assert run_label(kernel, one).startswith("one-")
    assert run_label([""], one) == run_label([""], {}), "an interpreter that the notebook has started"


@pytest.mark.parametrize("limit", [0, 20, 40])
@pytest.mark.parametrize("journal", [True, "required"])
def test_a_run_begins_without_room_unless_its_journal_is_required(tmp_path, file_limit, caplog, limit, journal):
    """Lease, key and the journal's header each need a few bytes."""
    file_limit(limit)
    options = Options(run_dir=tmp_path / "base", journal=journal)
    try:
        if journal == "required":
            with pytest.raises(JournalFull, match=f"{tmp_path}.* bytes: (File too large|No space left)"):
                open_run(options, "local", ["script.py"], {})
        else:
            assert open_run(options, "local", ["script.py"], {})[1] is None
            assert "The run continues without" in caplog.text
    finally:
        file_limit(resource.RLIM_INFINITY)
    assert not list((tmp_path / "base").glob("*/key")) or limit == 40


def test_a_run_without_room_cannot_be_resumed(tmp_path, file_limit, monkeypatch):
    """Without the journal, all tasks would run again."""
    directory = make_run(tmp_path, monkeypatch)
    file_limit(0)
    try:
        for resume in (True, directory):
            with pytest.raises(JournalFull):
                reopen(tmp_path, monkeypatch, resume)
    finally:
        file_limit(resource.RLIM_INFINITY)
    run_journal = reopen(tmp_path, monkeypatch)[1]
    assert recorded_values(run_journal, "a") == [1]
    run_journal.close("ended")


def test_without_room_to_note_the_run_the_message_names_it(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    directory, run_journal = open_run(Options(run_dir=tmp_path), "local", ["script.py"], {})
    assert f"resume it with Cluster(resume='{directory}')" in caplog.text
    run_journal.close("ended")
    assert list(tmp_path.glob(".last*")) == []


def test_a_base_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "base").symlink_to(tmp_path / "real")
    with pytest.raises(HpcmlError, match="is a link or belongs to another user: remove it"):
        new_run_dir(tmp_path / "base", "local")


def test_a_base_that_all_can_write_to_is_refused(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(HpcmlError, match="chmod o-w"):
        new_run_dir(base, "local")
    base.chmod(0o1777)  # as /tmp: other users cannot rename its files
    assert new_run_dir(base, "local").is_dir()
