"""Program for the Python of an image, by ``-c``: restores the job's variables, and becomes another command.

Here hpcml may be missing, and Python may be old.
"""

import importlib.util
import json
import os
import sys

__all__ = ["main"]

MISSING = (
    "hpcml: this image has no hpcml in its %s (Python %s). Install it when the image is built: "
    "python3 -m pip install hpcml, with Python 3.11 or later"
)


def main(argv: "list[str]") -> None:
    """Become Python with the words `argv` after the first, which holds variables of the job as JSON.

    A driver that srun has started has variables of its own step, where `hpcml run` was started in a job.
    """
    if importlib.util.find_spec("hpcml") is None:
        sys.exit(MISSING % (sys.executable, sys.version.split()[0]))
    job = json.loads(argv[0])
    if job:
        for name in [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_JWT"]:
            del os.environ[name]
        os.environ.update(job)
    os.execv(sys.executable, [sys.executable, *argv[1:]])


if __name__ == "__main__":
    main(sys.argv[1:])
