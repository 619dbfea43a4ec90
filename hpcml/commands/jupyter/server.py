"""Program of the job of ``hpcml jupyter``: has the login node choose an address, and runs JupyterLab there.

Its end ends JupyterLab and its kernels, and removes the token.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from hpcml.commands.jupyter.place import Place
from hpcml.engines.nodes.addresses import offered_addresses

__all__ = ["main", "server_command"]

CHOICE_SECONDS = 120.0  # the user may have ended the command on the login node
LOOK_SECONDS = 0.2
END_SECONDS = 10.0  # for JupyterLab to end its kernels
OWN_COMPUTER = "127.0.0.1"


def main(path: str, environment: Mapping[str, str]) -> int:
    """Run JupyterLab until it ends, or this process is asked to end; return its exit status."""
    signal.signal(signal.SIGTERM, _exit)
    place = Place(Path(path))
    try:
        return _run(
            server_command(place, _address(place)), {**environment, "JUPYTER_RUNTIME_DIR": str(place.runtime)}
        )
    finally:
        place.remove()


def server_command(place: Place, address: str) -> list[str]:
    """Return the command of JupyterLab, which has no secret in it."""
    options = [f"--config={place.config}", f"--ServerApp.ip={address}", "--ServerApp.port=0"]
    return [sys.executable, "-m", "jupyterlab", *options, *(["--allow-root"] if os.geteuid() == 0 else [])]


def _address(place: Place) -> str:
    """Return the address that the login node has chosen; this computer's own where it chooses none."""
    with offered_addresses() as offer:
        place.make_offer(offer)
        end = time.monotonic() + CHOICE_SECONDS
        while (address := place.chosen()) is None and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
    return address or OWN_COMPUTER


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    try:
        return server.wait()
    finally:
        server.terminate()
        try:
            server.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()


def _exit(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], os.environ))
