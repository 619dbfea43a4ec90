"""Protection of a run: encryption is required, and a Cluster on one computer listens on the loopback alone."""

import configparser
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import zmq
from patience import patient

import hpcml
from hpcml import engines
from hpcml.errors import EngineError

ROOT = Path(hpcml.__file__).parents[1]


def test_without_encryption_the_engine_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zmq, "has", lambda capability: capability != "curve")
    with pytest.raises(EngineError) as caught:
        engines.load("ipyparallel")
    assert "CURVE" in str(caught.value)
    assert f"{sys.executable} -m pip install --force-reinstall --only-binary pyzmq pyzmq" in str(caught.value)
    engines.load("local")  # which needs none


def test_a_libzmq_with_a_known_weakness_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, "hpcml"):
        engines.load("ipyparallel")
        assert not caplog.records
        monkeypatch.setattr(zmq, "zmq_version_info", lambda: (4, 3, 1))
        engines.load("ipyparallel")
    assert "libzmq 4.3.1" in caplog.text
    assert "CVE-2019-13132" in caplog.text
    assert f"{sys.executable} -m pip install --upgrade pyzmq" in caplog.text


def test_no_joblib_with_a_known_weakness_can_be_installed():
    """joblib before 1.2 evaluates the argument pre_dispatch (CVE-2022-21797)."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    floors = dict(re.findall(r"(\w+) >= ([\d.]+)", settings["options"]["install_requires"]))
    assert tuple(map(int, floors["joblib"].split("."))) >= (1, 2)


OPEN = """
import sys, hpcml
with hpcml.Cluster(sys.argv[1], slots_per_node=2, progress=False) as cluster:
    assert list(cluster.map(abs, [-1, -2, -3])) == [1, 2, 3]
    print("open", flush=True)
    sys.stdin.read()
"""


def sockets(process: psutil.Process) -> list:
    return [found for found in process.net_connections(kind="inet") if found.status in ("LISTEN", "NONE")]


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_a_cluster_on_one_computer_listens_on_the_loopback_alone(engine: str, tmp_path: Path):
    """No socket of the driver or of engine local; of engine ipyparallel, the loopback's address alone."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    with subprocess.Popen(
        [sys.executable, "-c", OPEN, engine],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=env,
    ) as driver:  # fmt: skip
        assert driver.stdout
        assert driver.stdout.readline()
        process = psutil.Process(driver.pid)
        assert sockets(process) == []
        found = [socket for child in process.children(recursive=True) for socket in sockets(child)]
        driver.communicate(timeout=patient(30))
    assert driver.returncode == 0
    if engine == "local":
        assert found == []
    else:
        assert {socket.laddr.ip for socket in found} == {"127.0.0.1"}
        assert len({socket.laddr.port for socket in found}) == 15 + 2, "the controller's, and one of each engine"
