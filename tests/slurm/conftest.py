"""Fixtures for tests on a real Slurm with several nodes.

cluster       three nodes of four CPUs each, for the session; a test that uses it runs once for each release
make_cluster  clusters of other shapes, which end with the test: make_cluster(cpus=(4, 2, 1), gpus=2)
release       "22.05" or "24.11", the release of both
expected      results of the reference search of the fault tests; see searches.py; expected_calls: of its calls

After each test, nodes that it killed, froze or cut are repaired; then a job in the queue, a process of a job or
on the login node, or a file in any /dev/shm fails the test. HPCML_TEST_RELEASES="22.05" in the environment chooses
releases, and then one that is not available is a failure; otherwise it is skipped.

A run that is interrupted or killed leaves no cluster: a guardian, a process of its own, ends those of a process
of pytest that is gone.

A long test that does not depend on Slurm's release, or that another test covers on the other, runs on one release:
@pytest.mark.release("24.11"), or where that is not among the chosen, on the first available one.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cluster_guardian
import cluster_root
import pytest
from cluster_conf import RELEASES, ClusterError, Shape
from cluster_needs import missing, own_release
from cluster_session import ClusterSession
from searches import Calls, Search
from slurm_cluster import reap

_CHOSEN = os.environ.get("HPCML_TEST_RELEASES", "").replace(",", " ").split()
_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "release(name): a test on Slurm that runs on one release only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the whole folder where no release can run; drop tests that are meant for another release."""
    reasons = {release: missing(release) for release in _CHOSEN or RELEASES}
    runnable = [release for release, reason in reasons.items() if not reason]
    elsewhere = [item for item in items if _is_for_another(item, runnable)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
    if all(reasons.values()) and not _CHOSEN:
        skip = pytest.mark.skip(reason="; ".join(dict.fromkeys(reasons.values())))
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


def _is_for_another(item: pytest.Item, runnable: list[str]) -> bool:
    mark = item.get_closest_marker("release")
    if mark is None or not runnable or not hasattr(item, "callspec"):
        return False
    meant = mark.args[0] if mark.args[0] in runnable else runnable[0]
    return item.callspec.params.get("release") != meant


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the root of a release before the first test, outside of the time limits of tests."""
    wanted = {item.callspec.params.get("release") for item in session.items if hasattr(item, "callspec")}
    if cluster_root.RELEASE in wanted - {own_release()} and not session.config.option.collectonly:
        try:
            _need(cluster_root.RELEASE)
            cluster_root.debian13()
        except ClusterError:
            return  # The fixture raises it again, where it can be reported.


def _need(release: str) -> None:
    if missing(release):
        raise ClusterError(missing(release))


@pytest.fixture(scope="session", autouse=True)
def _guardian() -> Iterator[None]:
    """Guardian that ends all clusters after this process, however it ends."""
    if os.geteuid():  # no cluster can be started
        yield
        return
    guardian = cluster_guardian.start(f"pytest-{os.getpid()}-")
    yield
    cluster_guardian.stop(guardian)


def _start(shape: Shape) -> ClusterSession:
    return ClusterSession(f"pytest-{os.getpid()}-{next(_numbers)}", shape)


@pytest.fixture(scope="session", params=_CHOSEN or RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Release of Slurm; skips, or fails if it was asked for, when this computer cannot run it."""
    try:
        _need(request.param)
        if request.param != own_release():
            cluster_root.debian13()
    except ClusterError as error:
        if _CHOSEN:
            raise
        pytest.skip(f"Slurm {request.param}: {error}")
    return request.param


@pytest.fixture(scope="session")
def cluster(release: str) -> Iterator[ClusterSession]:
    """Cluster of three nodes of four CPUs."""
    reap()
    session = _start(Shape(release=release))
    yield session
    session.down()


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """Results of the reference search by scikit-learn alone."""
    return Search.one_process(tmp_path_factory.mktemp("expected") / "out")


@pytest.fixture(scope="session")
def expected_calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """Results of the reference calls by joblib alone."""
    return Calls.one_process(tmp_path_factory.mktemp("expected_calls") / "out")


@pytest.fixture
def make_cluster(release: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., ClusterSession]]:
    """Function that starts a cluster; its keyword arguments are those of Shape."""
    made = []

    def make(**shape: object) -> ClusterSession:
        session = _start(Shape(**{"release": release, **shape}))
        made.append(session)
        session.begin_test(request.node.name)
        return session

    yield make
    left = [_ended(session) for session in made]
    for session in made:
        session.down()
    _fail_for(left)


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a job, a process or a file on the clusters of the session."""
    if "cluster" in request.fixturenames:
        session = request.getfixturevalue("cluster")
        session.begin_test(request.node.name)
        yield
        _fail_for([_ended(session)])
    else:
        yield


def _ended(session: ClusterSession) -> list[str]:
    try:
        return session.end_test()
    except ClusterError as error:
        return [str(error)]


def _fail_for(left: list[list[str]]) -> None:
    found = [line for lines in left for line in lines]
    if found:
        pytest.fail("the test has left on the cluster:\n" + "\n".join(found), pytrace=False)
