"""Divides the tests among processes: one release of Slurm, which has its cluster, to one; others by file."""

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

RINGS = ("slurm", "contract", "pure")  # what takes long begins first


class ByRelease(LoadScopeScheduling):
    """Give a process all tests of a file, or of a release of Slurm."""

    def _split_scope(self, nodeid: str) -> str:
        on_release = re.match(r"tests/slurm/.*\[.*(\d\d\.\d\d)", nodeid)
        return on_release[1] if on_release else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByRelease:
    return ByRelease(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [ring not in item.path.parts for ring in RINGS])
