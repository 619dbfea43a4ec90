"""A store of staged content, for the tests of data."""

from pathlib import Path

import pytest

from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Store whose only directory is the test's."""
    return Store(LocalStaging([str(tmp_path)]))
