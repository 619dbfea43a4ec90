"""Files of a run are private, whatever the umask; links, open modes and other users' files are refused."""

import os
import resource
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_runs import finish, flip_bit, make_run, offsets_of, opened, recorded_values, reopen

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import create_secret, read_private, read_secret, write_atomic, write_new


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path, monkeypatch, umask):
    before = os.umask(umask)
    try:
        directory = make_run(tmp_path / "base", monkeypatch)
    finally:
        os.umask(before)
    modes = {path.name.partition("-")[0]: stat.S_IMODE(path.lstat().st_mode) for path in directory.iterdir()}
    assert modes == {"journal": 0o600, "key": 0o600, "lease": 0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == stat.S_IMODE(directory.parent.stat().st_mode) == 0o700
    (note,) = directory.parent.glob("last-*")
    assert stat.S_IMODE(note.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["key", "journal", "journal.bad"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_in_place_of_a_file_is_refused(tmp_path, run, name, target):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    if name == "journal.bad":
        flip_bit(run / "journal", offsets_of(run, lambda head: "session" in head)[0] - 5)
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
def test_files_open_to_others_are_refused_with_the_command_that_closes_them(run, name, mode):
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
    assert recorded_values(run_journal, "a") == [1]
    run_journal.close("ended")


def test_a_link_in_place_of_the_run_directory_is_refused(tmp_path, run, monkeypatch):
    run_journal = opened(run)
    finish(run_journal, "f", "a", 1)
    run_journal.close("ended")
    link = tmp_path / "link"
    link.symlink_to(run)
    with pytest.raises(HpcmlError, match="link is a link or a file, where a directory is expected: remove it"):
        opened(link)
    with pytest.raises(HpcmlError, match="is a link"):
        reopen(tmp_path, monkeypatch, link)


def test_a_link_in_place_of_the_note_of_the_last_run_is_refused(tmp_path, monkeypatch):
    make_run(tmp_path, monkeypatch)
    (note,) = tmp_path.glob("last-*")
    note.rename(tmp_path / "elsewhere")
    note.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_text()
    with pytest.raises(HpcmlError, match="is a link: remove it"):
        reopen(tmp_path, monkeypatch)
    make_run(tmp_path, monkeypatch)  # a new run replaces the link, not its target
    assert not note.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == before


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_a_directory_or_pipe_in_place_of_a_file_is_refused(run, kind):
    path = run / "journal"
    if kind == "directory":
        path.mkdir(mode=0o700)
    else:
        os.mkfifo(path, 0o600)
    with pytest.raises(HpcmlError):
        opened(run)


@pytest.mark.skipif(os.getuid() != 0, reason="files are given to another user, which needs root")
@pytest.mark.parametrize("name", ["key", "journal", "lease-1", "."])
def test_files_of_another_user_are_refused(run, name):
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
def test_unreadable_files_of_another_user_are_refused_with_the_same_message(tmp_path):
    public = Path("/tmp") / f"hpcml-test-{os.getpid()}"
    public.mkdir(mode=0o755)
    try:
        (public / "key").touch(mode=0o600)
        command = [sys.executable, "-c", AS_NOBODY, str(public / "key")]
        seen = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    finally:
        (public / "key").unlink()
        public.rmdir()
    assert seen == [f"HpcmlError {public}/key belongs to user 0, not to you: remove it, or start a new run"] * 2


def test_a_key_is_written_whole_or_not_at_all(tmp_path, file_limit):
    file_limit(10)
    try:
        with pytest.raises(OSError, match="File too large"):
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


def test_a_private_file_that_cannot_be_read_is_named_with_its_host_and_the_advice(tmp_path):
    with pytest.raises(HpcmlError) as caught:
        read_private(tmp_path / "key", "Type this.")
    assert str(caught.value) == (
        f"{tmp_path / 'key'} cannot be read on {socket.gethostname()}: No such file or directory. Type this."
    )
    write_new(tmp_path / "key", b"secret")
    assert read_private(tmp_path / "key") == b"secret"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, file_limit):
    write_atomic(tmp_path / "note", b"former")
    write_atomic(tmp_path / "note", b"later")
    file_limit(3)
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomic(tmp_path / "note", b"too long")
    finally:
        file_limit(resource.RLIM_INFINITY)
    assert (tmp_path / "note").read_bytes() == b"later"
    assert stat.S_IMODE((tmp_path / "note").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["note"]


def test_a_file_with_a_long_name_is_replaced_on_a_host_with_a_long_name(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: 64 * "h")
    path = tmp_path / (60 * "\N{GEAR}" + 70 * "a")
    write_atomic(path, b"content")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(path.name, b"content")]


def test_a_new_file_replaces_none(tmp_path):
    write_new(tmp_path / "key", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"
