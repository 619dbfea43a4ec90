"""Ranks that find each other by the environment alone, as torch's env:// does: python env_ranks.py [ACTION]

Rank 0 listens at MASTER_PORT of MASTER_ADDR alone, and all others connect to it. It prints the variables and the
node of each rank, as JSON, in the order of ranks. Then the rank acts:

end          the default
RANK:HOW     of the first start, this rank fails, and the others wait for ever, deaf to SIGTERM after SIGKILL
always:HOW   the last rank fails at each start
wait         all wait for ever
"""

import json
import os
import signal
import socket
import sys
import time

SECONDS = 120.0  # until a rank gives up


def connected(master: tuple[str, int], seconds: float) -> socket.socket:
    """Return a connection to rank 0, which may listen later, as the clients of torch's store wait for it too."""
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(master, seconds)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def meet(found: dict[str, str], seconds: float = SECONDS) -> None:
    mine = json.dumps({**found, "node": socket.gethostname()})
    master = (found["MASTER_ADDR"], int(found["MASTER_PORT"]))
    if found["RANK"] != "0":
        with connected(master, seconds) as connection:
            connection.sendall(mine.encode())
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)  # rank 0 has all, or has ended
        return
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(master)
        listener.listen(512)
        listener.settimeout(seconds)
        peers = [listener.accept()[0] for _ in range(int(found["WORLD_SIZE"]) - 1)]
    received = [mine]
    for peer in peers:
        with peer, peer.makefile() as lines:
            received.append(lines.read())
    print(json.dumps(sorted(map(json.loads, received), key=lambda one: int(one["RANK"]))), flush=True)


def fail(how: str) -> None:
    if how == "raise":
        raise ValueError("a loss that is no number")
    if how.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, how))
    sys.exit(int(how))


def main() -> None:
    action = (sys.argv[1:] or ["end"])[0]
    who, _, how = action.partition(":")
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if how == "SIGKILL" and first:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    meet(dict(os.environ))
    last = str(int(os.environ["WORLD_SIZE"]) - 1)
    if how and os.environ["RANK"] == (last if who == "always" else who) and (first or who == "always"):
        fail(how)
    if who in ("wait", "always") or (how and first):
        time.sleep(600)


if __name__ == "__main__":
    main()
