"""What the next session of a run finds in the journal, and what not; where a run is kept, and who may touch it."""

import logging
import os
import pickle
import resource
import stat
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest
from network_files import NetworkFiles

from hpcml.cluster.options import Options
from hpcml.data.envelope import Call
from hpcml.data.outcomes import Outcome
from hpcml.data.pickling import dumps_parts
from hpcml.errors import HpcmlError, JournalFull, RunInUse
from hpcml.journal import runs as sessions
from hpcml.journal.lease import this_process
from hpcml.journal.private_files import create_secret, read_secret
from hpcml.journal.records import Damage, JournalReader
from hpcml.journal.run_journal import RunJournal
from hpcml.journal.runs import last_run, new_run_dir, note_last_run, open_run, run_label

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
    packed = dumps_parts(value, None, "", 1.0, 2.0, 3, "", b"")
    call = Call(b"", b"", name, "group", None, key)
    run_journal.finished(call, Outcome(value, error, "n1:0", 1.0, 2.0, 3), packed)
    return key


def values(run_journal, *digests):
    """Return what the journal answers to the next calls with these digests."""
    outcomes = [run_journal.recorded_outcome(run_journal.number_keys([digest])[0]) for digest in digests]
    return [None if outcome is None else outcome.value for outcome in outcomes]


def heads(directory):
    with open(directory / "journal", "rb") as file:
        reader = JournalReader(file.fileno(), read_secret(directory / "key"), directory / "journal")
        return [item.head for item in reader.items() if not isinstance(item, Damage)]


def place_of(directory, wanted):
    """Return where in the journal the body of the first record is that is `wanted`, and of what length."""
    with open(directory / "journal", "rb") as file:
        reader = JournalReader(file.fileno(), read_secret(directory / "key"), directory / "journal")
        items = [item for item in reader.items() if not isinstance(item, Damage)]
        return next((item.offset, item.start) for item in items if wanted(item.head))


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    return directory


def test_the_next_session_is_answered_once(run):
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


def test_equal_calls_are_told_apart_by_their_number(run):
    run_journal = opened(run)
    for value in "abc":
        finish(run_journal, "f", "same", value)
    run_journal.close("ended")
    run_journal = opened(run)
    assert values(run_journal, "same", "other", "same", "same", "same") == ["a", None, "b", "c", None]
    run_journal.close("ended")


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


def test_what_raised_or_has_no_key_runs_again(run):
    run_journal = opened(run)
    finish(run_journal, "f", "bad", None, KeyError("x"))
    finish(run_journal, "f", "", 5)
    finish(run_journal, "f", "good", 6)
    run_journal.close("ended")
    run_journal = opened(run)
    assert run_journal.reusable == 1
    assert values(run_journal, "bad", "", "good") == [None, None, 6]
    run_journal.close("ended")


def test_other_versions_use_nothing_and_say_so_until_it_is_done_again(run):
    run_journal = opened(run)
    for digest in ("a", "b"):
        finish(run_journal, "f", digest, "old")
    run_journal.close("ended")
    run_journal = opened(run, NEW)
    assert (run_journal.reusable, run_journal.outdated, run_journal.other_versions) == (0, 2, OLD)
    assert values(run_journal, "a") == [None]
    run_journal._given.clear()
    for digest in ("a", "b"):
        finish(run_journal, "f", digest, "new")
    run_journal.close("ended")
    run_journal = opened(run, NEW)
    assert (run_journal.reusable, run_journal.outdated) == (2, 0)
    assert values(run_journal, "a", "b") == ["new", "new"]
    run_journal.close("ended")
    run_journal = opened(run, OLD)  # back again: what was computed with these is right
    assert values(run_journal, "a", "b") == ["old", "old"]
    run_journal.close("ended")


def test_the_record_of_a_session_may_be_lost(run):
    """F12: what its tasks were computed with is known even so, and the journal is not taken for an empty one."""
    for versions, value in ((OLD, "old"), (NEW, "new")):
        run_journal = opened(run, versions)
        finish(run_journal, "f", "a", value)
        finish(run_journal, "g", f"only {value}", value)
        run_journal.close("ended")
    for session in (1, 2):
        flip(run / "journal", place_of(run, lambda head, session=session: head.get("session") == session)[1] + 40)
    for versions, value in ((OLD, "old"), (NEW, "new")) * 2:
        run_journal = RunJournal(run, ME, versions, unknown)
        assert values(run_journal, "a", f"only {value}") == [value, value]
        run_journal.close("ended")  # nothing was run
    assert (run / "journal").exists()


def test_a_damaged_task_runs_again_and_its_name_is_not_given_twice(run, caplog):
    run_journal = opened(run)
    for name in ("f", "g", "h"):
        finish(run_journal, name, name, name.upper())
    run_journal.close("ended")
    flip(run / "journal", place_of(run, lambda head: head.get("task", "").endswith(":g"))[0])
    flip(run / "journal", place_of(run, lambda head: head.get("is") == "h")[1] + 40)
    run_journal = opened(run)
    assert "is damaged in 1 places" in caplog.text  # they lie side by side
    assert values(run_journal, "f", "g", "h") == ["F", None, "H"]
    run_journal._given.clear()
    finish(run_journal, "g", "g", "again")
    finish(run_journal, "new", "new", 1)
    run_journal.close("ended")
    names = [head["name"] for head in heads(run) if "is" in head]
    assert len(set(names)) == len(names) == 3
    assert 2 not in names  # the one that was lost: tasks refer to it
    run_journal = opened(run)
    assert values(run_journal, "f", "g", "h", "new") == ["F", "again", "H", 1]
    run_journal.close("ended")


class Gone:
    """A class that the next session no longer has."""


def test_a_result_that_cannot_be_unpickled_any_more_runs_again(run, caplog, monkeypatch):
    run_journal = opened(run)
    finish(run_journal, "f", "a", Gone())
    finish(run_journal, "f", "b", 2)
    run_journal.close("ended")
    monkeypatch.delattr(sys.modules[__name__], "Gone")
    run_journal = opened(run)
    assert values(run_journal, "a", "b") == [None, 2]
    assert "a recorded result cannot be used, so its task runs again" in caplog.text
    run_journal.close("ended")


def test_a_journal_that_cannot_be_read_any_more(run, monkeypatch, caplog):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    run_journal = opened(run)

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    assert values(run_journal, "a") == [None]
    assert "cannot be read: Input/output error" in caplog.text
    monkeypatch.undo()
    run_journal.close("ended")


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("when", ["before", "while it is open"])
def test_what_somebody_has_put_in_a_body_is_never_unpickled(run, tmp_path, when):
    """S6: of the right length, at the right place, even with the right checksum."""
    run_journal = opened(run)
    evil = dumps_parts(Canary(str(tmp_path / "canary")), None, "", 1.0, 2.0, 3, "", b"")
    finish(run_journal, "f", "a", b"x" * len(evil))
    run_journal.close("ended")
    offset, start = place_of(run, lambda head: "task" in head)

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
    assert values(run_journal, "a") == [None]
    assert not (tmp_path / "canary").exists()
    run_journal.close("ended")
    pickle.loads(evil)  # the canary sings
    assert (tmp_path / "canary").exists()


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
    run_journal = opened(run)  # the lease was let go
    run_journal.close("ended")


# ---- one driver


def test_a_second_driver_is_refused_and_changes_nothing(run):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    before = (run / "journal").read_bytes()
    with pytest.raises(RunInUse, match=f"process {os.getpid()}"):
        opened(run)
    assert (run / "journal").read_bytes() == before
    run_journal.close("ended")


def test_of_a_run_that_has_done_nothing_nothing_is_left(run):
    for _ in range(3):
        run_journal = opened(run)
        run_journal.adopt_file(note_last_run(run.parent, "label", run))
        run_journal.close("ended")
        assert os.listdir(run) == []
        assert os.listdir(run.parent) == ["run"]


def test_a_later_session_that_does_nothing_leaves_what_there_was(run):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    for _ in range(2):
        opened(run).close("ended")
    run_journal = opened(run)
    assert values(run_journal, "a") == [1]
    run_journal.close("ended")


def test_the_lease_outlives_the_files_of_a_run_that_is_removed(run, monkeypatch):
    """Whoever begins here meanwhile must not lose its journal."""
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


# ---- F10: full


@pytest.fixture
def file_limit():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda nbytes: resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_once_and_what_was_held_is_written(run, file_limit, caplog):
    run_journal = opened(run)
    finish(run_journal, "f", "a", b"a" * 500)
    size = (run / "journal").stat().st_size
    file_limit(size + 100)
    for digest in "bcd":
        finish(run_journal, "f", digest, digest * 500)
    assert caplog.text.count("cannot take more than") == 1
    assert f"the journal {run}/journal cannot take more than its {size:,} bytes: File too large" in caplog.text
    assert "The run goes on" in caplog.text
    file_limit(resource.RLIM_INFINITY)
    finish(run_journal, "f", "e", "e")
    run_journal.close("ended")
    run_journal = opened(run)
    assert values(run_journal, *"abcde") == [b"a" * 500, "b" * 500, "c" * 500, "d" * 500, "e"]
    run_journal.close("ended")


def test_a_journal_that_is_required(run, file_limit):
    run_journal = opened(run, required=True)
    finish(run_journal, "f", "a", 1)
    file_limit((run / "journal").stat().st_size + 10)
    with pytest.raises(JournalFull, match="cannot take more than"):
        finish(run_journal, "f", "b", 2)
    run_journal.close("stopped")  # says it no more
    file_limit(resource.RLIM_INFINITY)
    run_journal = opened(run)
    assert values(run_journal, "a") == [1]
    run_journal.close("ended")


@pytest.mark.parametrize("limit", [0, 20, 40])
@pytest.mark.parametrize("journal", [True, "required"])
def test_no_room_to_begin(tmp_path, file_limit, caplog, limit, journal):
    """The lease, the key and the journal's header each need a few bytes."""
    file_limit(limit)
    options = Options(run_dir=tmp_path / "base", journal=journal)
    try:
        if journal == "required":
            with pytest.raises(JournalFull, match=f"{tmp_path}.* bytes: (File too large|No space left)"):
                open_run(options, "local", ["script.py"], {})
        else:
            assert open_run(options, "local", ["script.py"], {})[1] is None
            assert "The run goes on without" in caplog.text
    finally:
        file_limit(resource.RLIM_INFINITY)
    assert not list((tmp_path / "base").glob("*/key")) or limit == 40


def test_no_room_to_resume_is_an_error(tmp_path, file_limit, monkeypatch):
    """To go on without the journal would run everything again."""
    directory = a_run(tmp_path, monkeypatch)
    file_limit(0)
    try:
        for resume in (True, directory):
            with pytest.raises(JournalFull):
                again(tmp_path, monkeypatch, resume)
    finally:
        file_limit(resource.RLIM_INFINITY)
    run_journal = again(tmp_path, monkeypatch)[1]
    assert values(run_journal, "a") == [1]
    run_journal.close("ended")


def test_no_room_to_note_the_last_run(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    directory, run_journal = open_run(Options(run_dir=tmp_path), "local", ["script.py"], {})
    assert f"resume it with Cluster(resume='{directory}')" in caplog.text
    run_journal.close("ended")
    assert list(tmp_path.glob(".last*")) == []


# ---- which run


def a_run(base, monkeypatch, argv=("script.py",), environment=None, value=1):
    """Make a run of a script in which one task has ended; return its directory."""
    monkeypatch.setattr(sessions, "_numbers", iter(range(9)))
    directory, run_journal = open_run(Options(run_dir=base), "local", list(argv), environment or {})
    run_journal.begin()
    finish(run_journal, "f", "a", value)
    run_journal.close("ended")
    return directory


def again(base, monkeypatch, resume=True, argv=("script.py",), environment=None):
    monkeypatch.setattr(sessions, "_numbers", iter(range(9)))
    return open_run(Options(run_dir=base, resume=resume), "local", list(argv), environment or {})


def test_the_scripts_arguments_and_array_task_tell_runs_apart(tmp_path, monkeypatch):
    calls = [
        (("script.py",), {}), (("script.py", "--fast"), {}), (("other.py",), {}), (("script.py", "", ""), {}),
        (("script.py",), {"SLURM_ARRAY_TASK_ID": "1"}), (("script.py",), {"SLURM_ARRAY_TASK_ID": "2"}), ((), {}),
    ]  # fmt: skip
    runs = [a_run(tmp_path, monkeypatch, *call, value=number) for number, call in enumerate(calls)]
    for number, call in enumerate(calls):
        directory, run_journal = again(tmp_path, monkeypatch, True, *call)
        assert directory == runs[number]
        assert values(run_journal, "a") == [number]
        run_journal.close("ended")


def test_where_there_is_nothing_to_resume_a_new_run_begins(tmp_path, monkeypatch, caplog):
    directory, run_journal = again(tmp_path / "base", monkeypatch)
    assert (run_journal.session, run_journal.reusable) == (1, 0)
    run_journal.close("ended")
    gone = a_run(tmp_path, monkeypatch)
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()
    directory, run_journal = again(tmp_path, monkeypatch)
    assert directory != gone
    assert run_journal.session == 1
    run_journal.close("ended")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_changed_versions_are_reported(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sessions, "versions", lambda: {"python": "3", "numpy": "1", "scipy": "1"})
    a_run(tmp_path, monkeypatch)
    monkeypatch.setattr(sessions, "versions", lambda: {"python": "3", "numpy": "2", "pandas": "1"})
    again(tmp_path, monkeypatch)[1].close("ended")
    assert (
        "1 recorded tasks run again, for versions have changed: numpy 1 -> 2, pandas none -> 1, scipy 1 -> none"
        in (caplog.text)
    )


def test_where_a_run_goes_that_finds_no_place_here(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / ".hpcml").write_text("in the way")
    directory = a_run(None, monkeypatch)
    assert f"The logs go to {directory}, and so does the journal: resume with Cluster(resume='{directory}')" in (
        caplog.text
    )
    run_journal = again(None, monkeypatch, directory)[1]
    assert values(run_journal, "a") == [1]
    run_journal.close("ended")


def test_a_directory_that_is_no_run(tmp_path, monkeypatch):
    place = tmp_path / "private"
    place.mkdir(mode=0o700)
    with pytest.raises(HpcmlError, match="holds no journal, so there is nothing to resume"):
        again(tmp_path, monkeypatch, place)
    assert os.listdir(place) == []
    with pytest.raises(HpcmlError, match="cannot be used: No such file"):
        again(tmp_path, monkeypatch, tmp_path / "nowhere")


@pytest.mark.parametrize("name", [b"", b"../run", b"/etc", b".ssh", b"\xff\x00/"])
def test_a_note_that_names_no_run(tmp_path, name):
    (tmp_path / "last-label").write_bytes(name)
    (tmp_path / "last-label").chmod(0o600)
    with pytest.raises(HpcmlError, match="names no run: remove it"):
        last_run(tmp_path, "label")


# ---- S4: private, whatever the umask, and nothing planted


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path, monkeypatch, umask):
    before = os.umask(umask)
    try:
        directory = a_run(tmp_path / "base", monkeypatch)
    finally:
        os.umask(before)
    modes = {path.name.partition("-")[0]: stat.S_IMODE(path.lstat().st_mode) for path in directory.iterdir()}
    assert modes == {"journal": 0o600, "key": 0o600, "lease": 0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == stat.S_IMODE(directory.parent.stat().st_mode) == 0o700
    (note,) = directory.parent.glob("last-*")
    assert stat.S_IMODE(note.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["key", "journal", "journal.bad"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_in_place_of_a_file(tmp_path, run, name, target):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    if name == "journal.bad":
        flip(run / "journal", place_of(run, lambda head: "session" in head)[0] - 5)
    content = (run / name).read_bytes() if (run / name).exists() else b""
    (tmp_path / "elsewhere").write_bytes(content)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(tmp_path / target)
    with pytest.raises(HpcmlError, match=f"{name} is a link: remove it"):
        opened(run)
    assert (tmp_path / "elsewhere").read_bytes() == content
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["key", "journal", "."])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o640, 0o702])
def test_what_is_open_to_others_is_refused_with_the_fix(run, name, mode):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    (run / name).chmod(mode)
    fix = "700" if name == "." else "600"
    with pytest.raises(HpcmlError, match=f"is open to other users .mode 0{mode:o}.*chmod {fix} '") as refused:
        opened(run)
    command = str(refused.value).rpartition(": ")[2]
    subprocess.run(command, shell=True, check=True)
    run_journal = opened(run)
    assert values(run_journal, "a") == [1]
    run_journal.close("ended")


def test_the_directory_of_a_run_is_no_link(tmp_path, run, monkeypatch):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    link = tmp_path / "link"
    link.symlink_to(run)
    with pytest.raises(HpcmlError, match="link is a link or a file, where a directory is expected: remove it"):
        opened(link)
    with pytest.raises(HpcmlError, match="is a link"):
        again(tmp_path, monkeypatch, link)


def test_a_note_that_is_a_link(tmp_path, monkeypatch):
    a_run(tmp_path, monkeypatch)
    (note,) = tmp_path.glob("last-*")
    note.rename(tmp_path / "elsewhere")
    note.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_text()
    with pytest.raises(HpcmlError, match="is a link: remove it"):
        again(tmp_path, monkeypatch)
    a_run(tmp_path, monkeypatch)  # a new run replaces the link, not what it leads to
    assert not note.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == before


def test_a_base_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "base").symlink_to(tmp_path / "real")
    with pytest.raises(HpcmlError, match="is a link or belongs to another user: remove it"):
        new_run_dir(tmp_path / "base", "local")


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_file(run, kind):
    path = run / "journal"
    if kind == "directory":
        path.mkdir(mode=0o700)
    else:
        os.mkfifo(path, 0o600)
    with pytest.raises(HpcmlError):
        opened(run)


@pytest.mark.skipif(os.getuid() != 0, reason="files are given to another user, which needs root")
@pytest.mark.parametrize("name", ["key", "journal", "lease-1", "."])
def test_files_of_another_user(run, name):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    os.chown(run / name, 65534, 65534)
    with pytest.raises(HpcmlError, match="belongs to user 65534, not to you: remove it, or start a new run"):
        opened(run)


AS_NOBODY = """
import os, sys
from pathlib import Path
from hpcml.journal.private_files import open_private, read_secret
os.setgid(65534); os.setuid(65534)
for act in (lambda path: open_private(path, os.O_RDWR), read_secret):
    try:
        act(Path(sys.argv[1]))
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="a process of another user is started, which needs root")
def test_files_of_another_user_that_cannot_even_be_opened(tmp_path):
    public = Path("/tmp") / f"hpcml-test-{os.getpid()}"
    public.mkdir(mode=0o755)
    try:
        (public / "key").touch(mode=0o600)
        command = [sys.executable, "-c", AS_NOBODY, str(public / "key")]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    finally:
        (public / "key").unlink()
        public.rmdir()
    assert said == [f"HpcmlError {public}/key belongs to user 0, not to you: remove it, or start a new run"] * 2


def test_a_key_is_never_half(tmp_path, file_limit):
    file_limit(10)
    try:
        with pytest.raises(OSError, match="No space left"):
            create_secret(tmp_path / "key")
    finally:
        file_limit(resource.RLIM_INFINITY)
    assert not (tmp_path / "key").exists()
    secret = create_secret(tmp_path / "key")
    assert read_secret(tmp_path / "key") == secret
    with pytest.raises(FileExistsError):
        create_secret(tmp_path / "key")
    (tmp_path / "key").write_bytes(secret[:31])
    with pytest.raises(HpcmlError, match="it has 31 bytes, not 32. Start a new run"):
        read_secret(tmp_path / "key")


@pytest.mark.parametrize("link", ["done", "lost", "exists"])
def test_a_network_file_system(run, monkeypatch, link):
    """F14: no locks, no O_APPEND, no listings, late names, lost answers, times that are wrong, ESTALE at first."""
    network = NetworkFiles(monkeypatch, run)
    network.link, network.names_are_stale = link, True
    for session in range(1, 4):
        run_journal = opened(run)
        assert (run_journal.session, run_journal.reusable) == (session, session - 1)
        with pytest.raises(RunInUse):
            opened(run)
        finish(run_journal, "f", f"d{session}", session)
        run_journal.close("ended")
    run_journal = opened(run)
    assert values(run_journal, "d1", "d2", "d3") == [1, 2, 3]
    run_journal.close("ended")
    assert network.linked >= 4


def test_a_base_that_everybody_can_write_to_is_refused(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(HpcmlError, match="chmod o-w"):
        new_run_dir(base, "local")
    base.chmod(0o1777)  # as /tmp is: nobody can rename what is mine
    assert new_run_dir(base, "local").is_dir()


def test_what_a_run_is_remembered_by(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = [run_label(["a.py", "1"], {}) for _ in range(2)]
    labels += [run_label(["a.py", "2"], {}), run_label(["a.py", "1"], {"SLURM_ARRAY_TASK_ID": "3"})]
    assert len(set(labels)) == 4
    kernel = ["/lib/ipykernel_launcher.py", "-f", "/run/kernel-1.json"]
    assert run_label([""], {}) == run_label([""], {}) == run_label(kernel, {})
    assert run_label([""], {}).startswith("interactive-")
