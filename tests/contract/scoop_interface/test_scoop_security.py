"""Strangers on this computer cannot speak to a run of `--engine scoop`."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

from scoop_runs import WORK, processes

STRANGER = """
import pickle, sys, zmq
from pathlib import Path
ports, key, file = eval(sys.argv[1]), sys.argv[2], sys.argv[3]
class Evil:
    def __reduce__(self):
        return open, (file, "w")
peers = []
pairs = [sys.argv[4].encode().split()] if sys.argv[4] else [None, zmq.curve_keypair()]
for port in ports:
    for own in pairs:
        peer = zmq.Context.instance().socket(zmq.DEALER)
        peer.linger = 0
        if own:
            peer.curve_publickey, peer.curve_secretkey = own
            peer.curve_serverkey = key.encode()
        peer.connect(f"tcp://127.0.0.1:{port}")
        peers.append(peer)
poller = zmq.Poller()
for peer in peers:
    poller.register(peer, zmq.POLLIN)
    evil = [[b"I", pickle.dumps(Evil())], [b"RQ"], [b"T", b"", pickle.dumps(Evil())], [b"S"]]
    for frames in [[b"I", pickle.dumps({})]] if sys.argv[4] else evil:
        peer.send_multipart(frames, zmq.NOBLOCK)
print(len(poller.poll(1500)))
"""


def listening(pids):
    """Return {(address, port)} of the listening sockets of processes."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def test_messages_of_strangers_are_neither_read_nor_answered(start, tmp_path):
    """Also not those of strangers with the servers' public key: only the run's own pair is admitted."""
    main = "import time\nlist(futures.map(work, range(4)))\nprint('idle', flush=True)\ninput_ = 'go'\n"
    main += "while not __import__('os').path.exists('go'):\n    time.sleep(0.05)\n"
    main += "print(list(futures.map(work, range(20))) == list(range(20)))"
    run = start(WORK, main=main, options=("--quiet", "--run-dir=runs"))
    assert run.line() == "idle"
    (key,) = tmp_path.glob("runs/*/curve.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    public, secret = key.read_text().split()
    found = listening(processes(run.mark))
    loopback = socket.inet_aton("127.0.0.1")[::-1].hex().upper()
    assert {address for address, _ in found} == {loopback}, "one address, not all"
    assert len(found) == 5, "the broker's two, and one of each of the workers and the origin"
    for pid, argv in processes(run.mark).items():
        assert public not in argv
        assert secret not in argv
        assert secret.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    evil = tmp_path / "evil"
    argv = [sys.executable, "-c", STRANGER, str([port for _, port in found]), public, str(evil)]
    for pair, answers in (("", 0), (f"{public} {secret}", 1)):
        done = subprocess.run([*argv, pair], capture_output=True, text=True, timeout=30, check=True)
        assert int(done.stdout) == answers
    assert not evil.exists()
    (tmp_path / "go").touch()
    end = run.end()
    assert end.status == 0, end.err
    assert end.out == "True\n"
    assert not (tmp_path / "runs").exists()
