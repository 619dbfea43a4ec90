"""Division of the tests among processes: by file, and those on a release of Slurm by half of the alphabet."""

import os
import re

import pytest
from patience import patient, slowness
from xdist.scheduler import LoadScopeScheduling

# Programs of tests buffer their output as those of users do.
os.environ.pop("PYTHONUNBUFFERED", None)

TEST_SECONDS = 180  # on the reference computer; a test that takes longer hangs
MIDDLE = "test_j"  # of the files with tests on Slurm, by the time that they take
RINGS = ("slurm", "contract", "pure")  # the slowest ring begins first


class ByRelease(LoadScopeScheduling):
    """Gives one process all tests of a file, or of half the files with tests on a release of Slurm."""

    def _split_scope(self, nodeid: str) -> str:
        on_release = re.match(r"tests/slurm/(\w+).*\[.*(\d\d\.\d\d)", nodeid)
        if on_release is None:
            return super()._split_scope(nodeid)
        file, release = on_release.groups()
        return f"{release} {file < MIDDLE}"


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout reads its options
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("timeout") is None:
        config.option.timeout = patient(TEST_SECONDS)


def pytest_report_header() -> str:
    return f"waits of tests: {slowness():g} times those of the reference computer"


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByRelease:
    return ByRelease(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [f"tests/{ring}/" not in item.nodeid for ring in RINGS])
