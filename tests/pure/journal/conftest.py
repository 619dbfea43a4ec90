"""Fixtures for the tests of a run's files."""

import resource

import pytest


@pytest.fixture
def run(tmp_path):
    """Directory of a new run."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def path(tmp_path):
    """Path of a journal that does not exist yet."""
    return tmp_path / "journal"


@pytest.fixture
def file_limit():
    """Set the longest file that this process may write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda nbytes: resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
