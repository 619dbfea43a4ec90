"""What `hpcml run` does so that ``import scoop`` finds the modules of this package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcml.scoop_programs.future import until
from hpcml.scoop_programs.shared import forget

__all__ = ["serving"]

FOLDER = Path(__file__).with_name("on_path")


@contextmanager
def serving() -> Iterator[None]:
    """Have ``import scoop`` find what is served, in this process and in the tasks that it submits.

    The script's own folder, which comes first on ``sys.path``, stays there: a scoop.py of the user's own counts.
    """
    sys.path.insert(0 if sys.flags.safe_path else 1, str(FOLDER))
    try:
        yield
        until(lambda: True)  # callbacks of what has ended since the script last waited
    finally:
        forget()
        sys.path.remove(str(FOLDER))
        for name in [name for name in sys.modules if name.partition(".")[0] == "scoop"]:
            del sys.modules[name]
