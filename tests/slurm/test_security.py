"""Another user on the nodes of a run cannot speak to it or learn its keys.

The attacks are programs/attack.py, which runs as `nobody` on the controller's node.
"""

import contextlib
from pathlib import Path

import pytest
from cluster_conf import LOGIN
from guarded_runs import CONTROLLER_PORTS, Guarded, attack, listening, ports
from patience import patient

pytestmark = pytest.mark.release("24.11")  # the rest of the ring runs on both


def test_every_socket_has_one_address_and_their_number_is_known(cluster):
    with Guarded(cluster):
        engine = ("127.0.0.1", {"python"})
        controller = (cluster.shape.address("n1"), {"python"})
        wanted = {"n1": CONTROLLER_PORTS * [controller] + 2 * [engine], "n2": 2 * [engine], "n3": 2 * [engine]}
        found = {
            node: sorted(((address, names) for address, _, names in listening(cluster, node)), key=str)
            for node in (*cluster.nodes, LOGIN)
        }
    assert found == {**wanted, LOGIN: []}


def test_messages_without_the_key_are_neither_executed_nor_answered(cluster):
    """The same messages with the key are executed, so that without the key only the key is missing."""
    with Guarded(cluster) as run:
        file = cluster.shared_dir / "made-by-unpickling"
        everywhere = {"ports": ports(cluster), "idents": run.about["idents"], "file": str(file)}
        cluster.shared_dir.chmod(0o777)
        run.order(60)
        with attack(cluster, attack="speak", key="", **everywhere) as done:
            assert done == {"accepted": 0, "received": 0}
        run.check()
        assert not file.exists()
        with attack(cluster, attack="speak", key=run.server_key(), **everywhere) as done:
            assert done["accepted"] == CONTROLLER_PORTS
            assert done["received"] > 0
        assert file.exists()
        run.work(12)


def places_of_secrets(cluster, run, secrets):
    """Return the places of a secret: command lines, environments, files, and prints."""
    found = {"what was printed": (run.errors.read_text() + str(run.about)).encode()}
    for question in ("scontrol show job -dd", "scontrol show step", "squeue --steps"):
        found[question] = cluster.run(question.split(), check=True).stdout.encode()
        assert found[question]
    for node in (LOGIN, *cluster.nodes):
        for process in cluster.processes(node):
            for name in ("cmdline", "environ"):
                path = Path(f"/proc/{process.pid}/{name}")
                with contextlib.suppress(OSError):
                    found[f"{path} on {node}"] = path.read_bytes()
        for directory in ("/tmp", "/dev/shm"):
            root = cluster.seen_by(node, directory)
            found |= {str(path): path.read_bytes() for path in root.glob("hpcml-*/**/*") if path.is_file()}
    files = [*cluster.shared_dir.rglob("*"), *cluster.state.glob("log/*"), *cluster.state.glob("spool/**/*")]
    found |= {str(path): path.read_bytes() for path in files if path.is_file() and run.keys not in path.parents}
    assert any("controller.log" in name for name in found)
    return [name for name, data in found.items() if any(secret.encode() in data for secret in secrets)]


def test_the_keys_are_in_no_readable_place(cluster):
    """Also not for `nobody`, who finds a decoy, which shows that the attack could find a key.

    A library prints while the controller starts, as some do: the line with the key must not be joined to that
    print, for lines that are no messages go to the log, and the log's end to the text of an error.
    """
    with Guarded(cluster, HPCML_TEST_TALKS="n1") as run:
        secrets = run.secrets()
        run.work(6)
        assert not places_of_secrets(cluster, run, secrets)
        cluster.shared_dir.chmod(0o777)
        decoy = cluster.write("decoy", run.server_key())
        for node in ("n1", "n2"):
            places = ["/tmp", "/dev/shm", str(cluster.shared_dir)]
            with attack(cluster, node, attack="spy", places=places, secrets=secrets) as done:
                assert done == {"met": [str(decoy)], "environments": 0, "read": done["read"]}
                assert done["read"] > 1000


def test_no_key_is_printed_when_a_start_fails(cluster):
    """The controller and four of the six workers are running, and have keys, when the start fails."""
    run = Guarded(cluster, HPCML_TEST_BROKEN="n2").start(f"timeout={patient(5)}")
    assert run.process.stdout.read() == ""
    assert run.process.wait(patient(20)) == 1
    run.process.stdin.close()
    assert "EngineError: 4 of 6 workers came within" in run.errors.read_text()
    keys = [key for file in run.keys.iterdir() for key in file.read_text().split()]
    assert len(keys) >= 2 * (1 + 4 + 1)
    logs = [path.read_text() for path in cluster.shared_dir.rglob("*.log")]
    assert len(logs) == 2
    assert not [key for key in keys if key in run.errors.read_text() + "".join(logs)]
