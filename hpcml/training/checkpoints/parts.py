"""Parts of a version, one of each rank, and the manifest that joins them.

Ranks find each other's parts through the file system: a thread that saves while the training goes on must not call
MPI, which the training calls at the same time.
"""

import contextlib
import datetime
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import refresh_names, write_atomic
from hpcml.training.checkpoints.files import Digests, digests_of, write_arrays, write_json
from hpcml.training.checkpoints.values import Array
from hpcml.training.checkpoints.versions import write_manifest

__all__ = ["Values", "complete", "write_part"]

Values = dict[str, tuple[Any, list[Array]]]
"""By the name of a file without its ending: the JSON and the arrays that become ``NAME.json`` and ``NAME.npy``."""

PART_SECONDS = 1800.0  # from the end of rank 0's own part: other nodes write to the same file system
END_SECONDS = 10.0  # where the program ends, perhaps because a rank is lost
_PAUSE_SECONDS = 0.05


def write_part(version: Path, rank: int, values: Values, about: dict[str, Any], others: list[str]) -> None:
    """Write the files of one rank, and note their digests, and those of its share of other libraries' files.

    Parameters
    ----------
    about
        The surroundings of the rank.
    others
        Paths below `version` of files that are there.
    """
    path = version / f"part-{rank}.json"
    try:
        files: Digests = digests_of(version, others)
        for name, (tree, arrays) in values.items():
            if arrays:
                files[f"{name}.npy"] = write_arrays(version / f"{name}.npy", arrays)
            files[f"{name}.json"] = write_json(version / f"{name}.json", tree)
        write_atomic(path, json.dumps({"about": about, "files": files}).encode())
    except BaseException as error:
        with contextlib.suppress(OSError):
            for name in values:  # there may be no more room for the next file
                (version / f"{name}.npy").unlink(missing_ok=True)
            write_atomic(path, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        raise


def complete(version: Path, step: int, size: int, is_ending: Callable[[], bool] = bool) -> None:
    """Wait for the parts of all ranks, and write the manifest.

    Parameters
    ----------
    is_ending
        Returns whether the program ends, and waits for this only.

    Raises
    ------
    HpcmlError
        A rank has failed, or has not written its part in time.
    """
    paths = [version / f"part-{rank}.json" for rank in range(size)]
    _wait_for(paths, version, is_ending)
    parts = [json.loads(path.read_bytes()) for path in paths]
    for rank, part in enumerate(parts):
        if "error" in part:
            raise HpcmlError(f"the checkpoint {version} is not complete: rank {rank} failed: {part['error']}")
    for path in paths:
        os.unlink(path)
    write_manifest(
        version,
        {
            "step": step,
            "world_size": size,
            "saved": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "ranks": [part["about"] for part in parts],
            "files": {name: found for part in parts for name, found in part["files"].items()},
        },
    )


def _wait_for(paths: list[Path], version: Path, is_ending: Callable[[], bool]) -> None:
    """Wait until there are files of all ranks."""
    began, limit = time.monotonic(), PART_SECONDS
    refresh_names(version)
    while missing := [rank for rank, path in enumerate(paths) if not path.exists()]:
        waited = time.monotonic() - began
        if is_ending() and limit == PART_SECONDS:
            limit = min(limit, waited + END_SECONDS)
        if waited > limit:
            raise HpcmlError(
                f"the checkpoint {version} is not complete: ranks {missing} did not write their parts within "
                f"{limit:.0f} s"
            )
        time.sleep(_PAUSE_SECONDS)
        refresh_names(version)
