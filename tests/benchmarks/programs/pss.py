"""Proportional set size of all processes on this node that belong to the step of certain programs.

    python pss.py WORD      the steps that have a process with WORD on its command line; prints JSON

A page that several processes map counts for each of them with its share: proc(5), smaps_rollup, Pss.
"""

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path


def step_of(process: Path) -> bytes | None:
    """Return the step id in the environment of a process; a forked one has its parent's."""
    found = re.search(rb"(?:^|\0)SLURM_STEP_ID=(\d+)", (process / "environ").read_bytes())
    return found.group(1) if found else None


def main(word: str) -> None:
    steps: dict[bytes, list[int]] = {}
    chosen = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the process has ended meanwhile
            step = step_of(process)
            size = re.search(r"^Pss:\s+(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE)
            if step is None or size is None:
                continue
            steps.setdefault(step, []).append(int(size.group(1)) * 1024)
            if word in (process / "cmdline").read_text() and process.name != str(os.getpid()):
                chosen.add(step)
    sizes = [size for step in chosen for size in steps[step]]
    print(json.dumps({"bytes": sum(sizes), "processes": len(sizes)}))


if __name__ == "__main__":
    main(sys.argv[1])
