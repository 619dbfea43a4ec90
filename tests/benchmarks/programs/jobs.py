"""Job arrays of calls that share 16 MB, and the questions to Slurm while 100 jobs are watched.

    python jobs.py hpcml ELEMENTS MEASURE…      prints {MEASURE: value, …} as JSON

The calls wait for a second each, in ELEMENTS elements at once; the ideal is that time alone, without any start. A
squeue before Slurm's own on PATH counts the questions.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy

import hpcml

CALLS, CALL_SECONDS, NBYTES = 1000, 1.0, 16 << 20
JOBS, WATCHED_SECONDS = 100, 180.0
COUNTED = ("squeue", "sacct", "scontrol")


def wait(number, table):
    time.sleep(CALL_SECONDS)
    return number + len(table)


def map_calls(elements: int) -> dict[str, float]:
    """Return bytes written by a map, over those of the data, and its wall time over the ideal."""
    table = numpy.random.default_rng(1).integers(0, 256, NBYTES, dtype=numpy.uint8)
    began = time.monotonic()
    results = list(hpcml.map_array(wait, range(CALLS), [table] * CALLS, parallel=elements, time=30))
    seconds = time.monotonic() - began
    assert results == [number + NBYTES for number in range(CALLS)]
    written = sum(path.stat().st_size for path in Path(".hpcml").rglob("*") if path.is_file())
    return {
        "map_array_written": written / NBYTES,
        "map_array_seconds": seconds / (CALLS * CALL_SECONDS / elements),
    }


def watch_jobs() -> dict[str, float]:
    """Return the questions to Slurm in a minute, while jobs wait in the queue and are watched."""
    questions = Path("questions").absolute()
    for name in COUNTED:
        program = Path("bin", name)
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$0 $@" >>{questions}\nexec {shutil.which(name) or "false"} "$@"\n')
        program.chmod(0o755)
    os.environ["PATH"] = f"{Path('bin').absolute()}:{os.environ['PATH']}"
    jobs = [hpcml.submit(time.sleep, 600, begin="now+3600", time=30) for _ in range(JOBS)]
    questions.write_text("")
    time.sleep(WATCHED_SECONDS)
    asked = len(questions.read_text().splitlines())
    assert asked, "no question was counted"
    assert all(job.state == "PENDING" and job.cancel() for job in jobs)
    return {"job_questions": asked / (WATCHED_SECONDS / 60)}


def main(elements: int, *measures: str) -> None:
    os.environ["XDG_CACHE_HOME"] = str(Path("cache").absolute())
    os.environ["XDG_CONFIG_HOME"] = str(Path("config").absolute())
    found = {} if measures == ("job_questions",) else map_calls(elements)
    if "job_questions" in measures:
        found |= watch_jobs()
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[2]), *sys.argv[3:])
