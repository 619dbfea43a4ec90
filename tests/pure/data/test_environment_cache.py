"""Cache of archives: packed once, replaced when the environment changes, private, never in the way."""

import fcntl
import os

import pytest

from hpcml.data.staging import environment_cache
from hpcml.data.staging.environment import Python
from hpcml.data.staging.environment_cache import cache_directory, open_archive


@pytest.fixture
def python(tmp_path):
    prefix = tmp_path / "prefix"
    (prefix / "lib").mkdir(parents=True)
    (prefix / "lib/library.py").write_text("1")
    return Python(f"{prefix}/bin/python", str(prefix), "/usr")


@pytest.fixture
def archive(python, tmp_path):
    """Function that returns whether the archive was written, where it is, and its mode."""

    def take():
        file, is_new = open_archive(python, tmp_path / "cache", [str(tmp_path)])
        with file:
            assert b"library.py" in file.read()
            found = os.fstat(file.fileno())
        return is_new, oct(found.st_mode & 0o777), [path.name for path in (tmp_path / "cache").glob("*.tar")]

    return take


def test_an_environment_is_packed_once_until_it_changes(archive, tmp_path):
    is_new, mode, first = archive()
    assert (is_new, mode, len(first)) == (True, "0o600", 1)
    assert archive() == (False, mode, first)
    (tmp_path / "prefix/lib/other.py").touch()
    is_new, _, second = archive()
    assert is_new
    assert len(second) == 1
    assert second != first
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_an_archive_of_which_others_could_be_the_author_is_written_anew(archive, tmp_path):
    _, _, (name,) = archive()
    (tmp_path / "cache" / name).chmod(0o666)
    assert archive() == (True, "0o600", [name])


def test_a_cache_that_others_can_enter_is_not_used(archive, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o755)
    assert archive() == (True, "0o600", [])


def test_a_cache_that_cannot_be_written_is_no_failure(archive, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert archive()[:2] == (True, "0o600")


def test_a_lock_that_stays_taken_is_no_failure(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(environment_cache, "LOCK_TIMEOUT_SECONDS", 0.1)
    (tmp_path / "cache").mkdir(mode=0o700)
    with open(tmp_path / "cache/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert archive() == (True, "0o600", [])


def test_an_environment_that_cannot_be_read_is_an_error(python, tmp_path):
    with pytest.raises(OSError, match="gone"):
        open_archive(python._replace(prefix=f"{tmp_path}/gone"), tmp_path / "cache", [])


def test_the_cache_is_in_the_home_directory_unless_a_variable_names_another(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert str(cache_directory({"XDG_CACHE_HOME": "relative"})) == "/home/me/.cache/hpcml/environments"
