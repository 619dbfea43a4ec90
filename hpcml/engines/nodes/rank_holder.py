"""Program of a rank that MPI's launcher has started, and that another process becomes: it holds the place.

``python -c SOURCE MEETING`` sends its environment, and where MPI's launcher has given it an open connection that
too, to the node's launcher of engines, and ends when that does; see
`hpcml.engines.nodes.rank_places`.
This file imports the standard library alone.
"""

import json
import os
import socket
import struct
import sys
import time

__all__ = ["RANK_VARIABLES", "main"]

RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
CONNECT_SECONDS = 120.0  # in which the launcher of engines must listen
PAUSE_SECONDS = 0.02


def _connect(meeting: str) -> socket.socket:
    """Return a connection to this user's launcher of engines."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(f"\0{meeting}")
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", credentials)[1] == os.getuid():
                return connection
        except OSError:
            pass
        connection.close()
        if time.monotonic() > deadline:
            sys.exit(f"hpcml: no launcher of engines has asked for this rank within {CONNECT_SECONDS:.0f} s")
        time.sleep(PAUSE_SECONDS)


def main() -> None:
    """Send the place of this rank, and wait until it is no longer needed."""
    variables = dict(os.environ)
    rank = next((int(variables[name]) for name in RANK_VARIABLES if name in variables), 0)
    content = json.dumps({"rank": rank, "variables": variables}).encode()
    descriptors = [int(variables["PMI_FD"])] if "PMI_FD" in variables else []
    with _connect(sys.argv[1]) as connection:
        socket.send_fds(connection, [len(content).to_bytes(8, "little")], descriptors)
        connection.sendall(content)
        connection.recv(1)
    sys.exit(1)  # Slurm then ends the holders of the other ranks


if __name__ == "__main__":
    main()
