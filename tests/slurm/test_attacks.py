"""Another user on the nodes of a run cannot disturb it, or repeat messages of it.

The attacks are programs/attack.py, which runs as `nobody` on the controller's node.
"""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from guarded_runs import ATTACK, CONTROLLER_PORTS, RECORD, Guarded, attack, ports, read_line
from patience import patient, promised, wait_until


def peaks(cluster):
    """Return {process: (resident size now, its maximum)} in MB of all processes of runs."""
    found = {}
    for node in cluster.nodes:
        for process in cluster.processes(node):
            if str(ATTACK) in process.argv:
                continue
            status = Path(f"/proc/{process.pid}/status").read_text()
            now, most = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("VmRSS", "VmHWM"))
            found[process.pid] = (now, most)
    return found


@pytest.mark.release("22.05")
def test_noise_on_every_port_changes_nothing(cluster):
    """Silence, slowness, nonsense and lengths of 2**30 and more, on each port, while a run works."""
    with Guarded(cluster) as run:
        run.work(6)
        before = peaks(cluster)
        run.order(300)
        with attack(cluster, attack="noise", ports=ports(cluster), frames=10_000) as done:
            assert done["sent"] >= 10_000
            assert done["held"] > 200
            run.check()
            run.work(12)
            after = peaks(cluster)
        run.work(12)
    assert before.keys() == after.keys()
    grown = {pid: round(after[pid][1] - before[pid][0]) for pid in before}
    assert max(grown.values()) < 50, grown


@pytest.mark.release("24.11")
def test_a_start_completes_while_its_listeners_are_occupied(cluster):
    """The listeners that exist before the controller: a client receives a number, and may stay or leave."""
    run = Guarded(cluster, HPCML_TEST_SLOW="n2")
    (run.keys / "n2").touch()
    run.start()
    wait_until(lambda: ports(cluster))
    found = ports(cluster)
    assert {address for address, _ in found} == {"127.0.0.1", cluster.shape.address("n1")}
    assert len(found) == 2
    with attack(cluster, attack="noise", ports=found, frames=2_000) as done:
        assert done["held"] > 100
        (run.keys / "n2").unlink()
        began = time.monotonic()
        with run:
            assert time.monotonic() - began < promised(5)
            run.work(12)


class Recording:
    """Recording of the bytes that TCP connections send to a node."""

    def __init__(self, cluster, node):
        argv = [cluster.python, RECORD, node, cluster.shape.address(node)]  # the device has the node's name
        self.process = cluster.popen(argv, stdin=subprocess.PIPE)
        assert read_line(self.process, 20) == "recording\n"

    def end(self, ports):
        """Return the bytes of each connection to one of these ports, in hexadecimal digits."""
        streams = json.loads(self.process.communicate(timeout=patient(30))[0])
        return [data for port, data in streams if port in ports]


def send_again(cluster, run, streams):
    """Send recorded streams to every port of a run that works meanwhile."""
    run.order(120)
    with attack(cluster, attack="again", ports=ports(cluster), streams=streams) as done:
        assert done["sent"] >= len(streams) * CONTROLLER_PORTS
        run.check()
    run.work(12)


@pytest.mark.release("24.11")
def test_recorded_bytes_that_are_sent_again_change_nothing(cluster):
    """The recording has the bytes of the engines of two nodes and of the driver, for this run and the next."""
    recording = Recording(cluster, "n1")
    with Guarded(cluster, "first") as first:
        first.work(12)
        streams = recording.end({port for _, port in ports(cluster)})
        assert len(streams) >= 4 * 7 + 5, "an engine has seven connections, the client five or more"
        send_again(cluster, first, streams)
    with Guarded(cluster, "second") as second:
        send_again(cluster, second, streams)
    assert first.counted() == list(range(first.done))
