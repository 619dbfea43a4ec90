"""MB per second at which an array comes to the nodes, beside `sbcast` of a file with the same bytes.

    python transfer.py hpcml SLOTS MEASURE…      prints {MEASURE: MB/s, "MEASURE sbcast": MB/s, …} as JSON

broadcast_SIZEmb         `Cluster.broadcast` of an array that the nodes have not seen, until it returns
broadcast_used_SIZEmb    until besides every worker has answered a task that has used the array, and so some worker
                         of each node has verified it
sbcast                   the same bytes, from a file that is there before the clock starts, where hpcml would
                         put its own, to a new name in /dev/shm of the same nodes

All three in turn, ROUNDS times with other data; the median of each.
"""

import functools
import importlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from warm import every_slot

from hpcml.data.staging.files import candidate_directories

ROUNDS = 5
COLUMNS = 500
TARGET = Path("/dev/shm/plain-sbcast")


def used(handle: Any, _: int) -> tuple[str, int]:
    """Use the broadcast array; return this worker's host and process id."""
    if not 0 <= handle.value[0, 0] + handle.value[-1, -1] < 2:
        raise RuntimeError("the array holds other values than it should")
    return socket.gethostname(), os.getpid()


def removed(_: int) -> None:
    """Remove the file of sbcast on this node."""
    TARGET.unlink(missing_ok=True)


def ours(pool: Any, slots: int, array: Any) -> tuple[float, float]:
    """Return the seconds until `broadcast` has returned, and until every worker has used the array."""
    began = time.perf_counter()
    with pool.cluster.broadcast(array) as handle:
        there = time.perf_counter() - began
        every_slot(pool, slots, functools.partial(used, handle))
        return there, time.perf_counter() - began


def plain(pool: Any, array: Any) -> float:
    """Return the seconds of sbcast for a file with the content of an array."""
    _memory_of_nodes, of_source, *_ = candidate_directories(os.environ)
    source = Path(of_source) / TARGET.name
    array.tofile(source)
    try:
        began = time.perf_counter()
        subprocess.run(["sbcast", str(source), str(TARGET)], check=True, timeout=100, stdin=subprocess.DEVNULL)
        return time.perf_counter() - began
    finally:
        source.unlink()
        pool.each(removed)


def rates(pool: Any, slots: int, size: int) -> dict[str, float]:
    """Return the median rates for arrays of `size` MB."""
    seconds = []
    for _ in range(ROUNDS):
        array = np.random.default_rng().random((round(size * 1e6 / 8 / COLUMNS), COLUMNS))
        seconds.append((*ours(pool, slots, array), plain(pool, array)))
    there, in_use, file = (size / median(each) for each in zip(*seconds, strict=True))
    names = f"broadcast_{size}mb", f"broadcast_used_{size}mb"
    return {names[0]: there, names[1]: in_use} | {f"{name} sbcast": file for name in names}


def main(name: str, slots: int, measures: list[str]) -> None:
    sizes = sorted({int(re.fullmatch(r"broadcast_(?:used_)?(\d+)mb", measure).group(1)) for measure in measures})
    figures: dict[str, float] = {}
    with importlib.import_module(f"{name}_pool").open_pool(slots) as pool:
        for size in sizes:
            figures |= rates(pool, slots, size)
    print(json.dumps({key: value for key, value in figures.items() if key.split()[0] in measures}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
