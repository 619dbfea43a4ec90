"""Rank that finds the others by rank_env alone: python ranks.py SECONDS

Rank 0 listens at MASTER_PORT, and all others connect to it. It prints the variables and the node of each rank, as
JSON, in the order of ranks.
"""

import json
import socket
import sys
import time

from hpcml.training import rank_env

SECONDS = float(sys.argv[1])  # until a rank gives up


def connected(master: tuple[str, int]) -> socket.socket:
    """Return a connection to rank 0, which may listen later, as the clients of torch's store wait for it too."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection(master, SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def main() -> None:
    found = rank_env(timeout=SECONDS)
    mine = json.dumps({**found, "node": socket.gethostname()})
    master = (found["MASTER_ADDR"], int(found["MASTER_PORT"]))
    if found["RANK"] != "0":
        with connected(master) as connection:
            connection.sendall(mine.encode())
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)  # rank 0 has all, or has ended
        return
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", master[1]))
        listener.listen(512)
        listener.settimeout(SECONDS)
        peers = [listener.accept()[0] for _ in range(int(found["WORLD_SIZE"]) - 1)]
    received = [mine]
    for peer in peers:
        with peer, peer.makefile() as lines:
            received.append(lines.read())
    print(json.dumps(sorted(map(json.loads, received), key=lambda one: int(one["RANK"]))), flush=True)


if __name__ == "__main__":
    main()
