"""Import path of `hpcml run`, on which ``import scoop`` finds the modules of this package."""

import sys
from pathlib import Path

from hpcml.cluster.scoop.future import wait_until
from hpcml.cluster.scoop.shared import forget

__all__ = ["finish", "serve"]

FOLDER = Path(__file__).with_name("on_path")


def serve() -> None:
    """Put `FOLDER` on ``sys.path``, for ``import scoop`` in this process and in the tasks that it submits.

    This is called before Python puts the program's own folder first: a scoop.py of the user's own is found before.
    """
    sys.path.insert(1 if sys.flags.safe_path else 0, str(FOLDER))


def finish() -> None:
    """Call the callbacks of futures that have ended since the program last waited; drop all constants."""
    wait_until(lambda: True)
    forget()
