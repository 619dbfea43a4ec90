"""Programs of ipyparallel: what they give its classes, and what these get, without any engine."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from hpcml.cluster.ipyparallel import clients, launchers
from hpcml.cluster.ipyparallel.backend import IPythonParallelBackend, new_backend
from hpcml.cluster.ipyparallel.clients import connection_for, is_of_open_cluster
from hpcml.cluster.ipyparallel.importing import AfterImport
from hpcml.cluster.ipyparallel.launchers import OpenController, OpenEngines, launchers_for
from hpcml.cluster.options import Options
from hpcml.commands.program_cluster import _options
from hpcml.errors import HpcmlError

CONNECTION = {"connection_info": {"curve_serverkey": "key"}, "profile_dir": "/run", "ipython_dir": "/run"}


@pytest.fixture
def opened(monkeypatch):
    """An open Cluster of three slots, with engine ipyparallel."""
    workers = SimpleNamespace(connection=CONNECTION)
    cluster = SimpleNamespace(slots=3, _session=SimpleNamespace(workers=workers, engine="ipyparallel"))
    for module in (clients, launchers):
        monkeypatch.setattr(module, "current_cluster", lambda _: cluster)
    monkeypatch.setattr("hpcml.cluster.joblib.backend.current_cluster", lambda _: cluster)
    return cluster


@pytest.mark.parametrize("words", [{}, {"profile": "job"}, {"cluster_id": "c", "profile_dir": "/home"}])
def test_a_profile_is_the_open_cluster(opened, words):
    assert connection_for(None, {**words, "timeout": 5}) == {**words, "timeout": 5, **CONNECTION}


@pytest.mark.parametrize("words", [{"url_file": "a.json"}, {"url_or_file": "a.json"}, {}])
def test_a_file_is_another_controllers(words):
    given = None if words else "a.json"
    assert connection_for(given, {**words, "profile": "job"}) == {"connection_info": "a.json", "profile": "job"}


def test_a_server_of_ssh_is_another_controllers():
    assert connection_for(None, {"sshserver": "login"}) == {"connection_info": None, "sshserver": "login"}


def test_an_engine_without_connections_is_an_error(opened):
    opened._session = SimpleNamespace(workers=SimpleNamespace(), engine="local")
    with pytest.raises(HpcmlError, match="engine 'local' has no client of ipyparallel"):
        connection_for(None, {})


def view(key, engines):
    return type("View", (), {"client": SimpleNamespace(curve_serverkey=key), "__len__": lambda _: engines})()


def test_a_backend_is_as_wide_as_its_view(opened):
    assert is_of_open_cluster(view(b"key", 1).client)
    assert new_backend(view(b"other", 2), {}) is None
    for engines, n_jobs, width in ((2, -1, 2), (2, 1, 1), (3, 2, 2), (0, -1, 1)):
        assert new_backend(view(b"key", engines), {}).effective_n_jobs(n_jobs) == width
    assert new_backend(None, {"inner_max_num_threads": 2}).effective_n_jobs(-1) == 3
    assert IPythonParallelBackend(None, inner_max_num_threads=2).inner_max_num_threads == 2


def test_a_cluster_that_names_no_launcher_is_the_open_one(opened):
    given = launchers_for({"profile": "job", "n": None, "engines": None})
    assert (given["controller"], given["engines"]) == (OpenController, OpenEngines)
    assert (given["n"], given["profile"], given["cluster_file"]) == (3, "job", "")
    assert launchers_for({"n": 2})["n"] == 2
    own = {"engines": "mpi", "n": 8}
    assert launchers_for(own) == own


@pytest.mark.parametrize(
    ("imports", "asked", "engine"),
    [
        (["numpy", "ipyparallel.joblib"], "auto", "ipyparallel"),
        (["ipyparallel_tools"], "auto", "auto"),
        (["ipyparallel"], "local", "local"),
    ],
)
def test_a_program_that_imports_ipyparallel_gets_its_engines(imports, asked, engine):
    options = _options({"engine": asked, "progress": False}, imports)
    assert options == Options(engine=engine, progress=False, preload=options.preload)


PROGRAM = """
import sys
from hpcml.cluster.ipyparallel.importing import AfterImport

called = []
before = list(sys.meta_path)
sys.meta_path.insert(0, AfterImport("colorsys", lambda: called.append(sys.modules["colorsys"].rgb_to_hsv)))
import wave
assert not called
import colorsys
assert called == [colorsys.rgb_to_hsv] and sys.meta_path == before
assert colorsys.__loader__ is colorsys.__spec__.loader is not None
assert type(colorsys.__loader__).__module__.startswith("_frozen_importlib")
import importlib
importlib.reload(colorsys)
assert len(called) == 1
"""


def test_a_function_is_called_once_after_an_import():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


def test_a_module_that_is_missing_stays_missing():
    assert AfterImport("there", list).find_spec("elsewhere") is None
