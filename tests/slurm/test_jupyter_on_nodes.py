"""``hpcml jupyter`` from a login node: JupyterLab in a job, with a token that nobody else sees."""

import json
import re
import stat
from pathlib import Path

import pytest
from patience import patient, wait_until

CLIENT = Path(__file__).parent / "programs" / "notebook_client.py"
CELL = """
import hpcml, os
cluster = hpcml.Cluster()
print(cluster)
print(sorted(cluster.map(lambda _: os.uname().nodename, range(2))))
cluster.shutdown()
"""


@pytest.mark.release("24.11")
def test_jupyterlab_in_a_job(cluster):
    home = cluster.shared_dir / "home"
    (home / ".config").mkdir(parents=True)
    (home / ".config" / "hpcml.toml").write_text("query_seconds = 1\n")
    env = {"HOME": str(home), "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None, "PYTHONUNBUFFERED": "1"}
    words = ["jupyter", "--nodes=2", "--ntasks-per-node", "1", "--time=10", "--output=lab.out"]
    command = cluster.popen([cluster.python, "-m", "hpcml", *words], env=env)
    shown = [command.stdout.readline() for _ in range(5)]
    job = shown[0].split()[1]
    address, port = re.search(r"^ssh +ssh -N -L (?:\d+):([\d.]+):(\d+) \w+@", shown[2]).groups()
    assert shown[3].split() == ["url", f"http://127.0.0.1:{port}/lab"]
    assert address == "10.32.1.1"
    config = cluster.shared_dir / shown[4].split()[-1]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (config, config.parent)] == [0o600, 0o700]
    done = cluster.run(
        [cluster.python, CLIENT, f"http://{address}:{port}", config], input=CELL, timeout=120, check=True
    )
    statuses, printed = json.loads(done.stdout)
    assert statuses == [200, 403]
    assert "2 slots (1 on each of n[1-2])" in printed, printed
    assert "['n1', 'n2']" in printed
    token = json.loads(config.read_text())["IdentityProvider"]["token"]
    log = (cluster.shared_dir / "lab.out").read_text()
    argv = [" ".join(process.argv) for node in cluster.nodes for process in cluster.processes(node)]
    assert token not in log + " ".join([*shown, *argv])
    cluster.run([cluster.python, "-m", "hpcml", "cancel", job], env=env, check=True)
    _, errors = command.communicate(timeout=patient(60))
    assert "has ended: CANCELLED" in errors
    wait_until(lambda: not config.exists())
