"""Program of a login node that submits functions as jobs; prints the outcomes as JSON.

python jobs_from_python.py begin     submits a job of each kind, and waits for the end of most
python jobs_from_python.py again     attaches itself to the jobs that the first driver has left
python jobs_from_python.py array     maps over arrays, of which Slurm takes a few elements at once
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import hpcml

WAIT = 200.0  # seconds, for jobs that start a second time


class Counter:
    """Counts to a number, also over a requeue: a checkpoint as in submitit."""

    def __init__(self):
        self.count = 0

    def __call__(self, top):
        while self.count < top:
            self.count += 1
            log("steps", self.count)
            time.sleep(0.2)
        return self.count

    def checkpoint(self, top):
        import submitit

        return submitit.helpers.DelayedSubmission(self, top)


def log(name, what):
    with open(name, "a") as file:
        file.write(f"{what}\n")


def lines(name):
    return Path(name).read_text().split() if Path(name).exists() else []


def number(x):
    log("tasks", x)
    time.sleep(0.3)
    return x


def many(count):
    with hpcml.Cluster() as cluster:
        return sum(cluster.map(number, range(count))), cluster.slots


def within():
    import submitit

    job = hpcml.submit(os.getcwd, time=5)
    return job.result(WAIT), job.id != os.environ["SLURM_JOB_ID"], submitit.JobEnvironment().num_nodes


def fail():
    raise LookupError("not here")


def until(condition):
    end = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.1)


def outcome_of(job):
    try:
        return job.result(WAIT)
    except hpcml.JobFailed as error:
        return [error.state, error.reason]
    except BaseException as error:
        return [type(error).__name__, str(error), str(error.__cause__)]


def begin():
    """Submit jobs, tell two of them that their time is nearly over, and leave these."""
    over = {
        "failed": hpcml.submit(fail, time=5),
        "left": hpcml.submit(sys.exit, 3, time=5),
        "waiting": hpcml.submit(time.sleep, 600, begin="now+600"),
        "cancelled": hpcml.submit(time.sleep, 600, time=30),
        "killed": hpcml.submit(time.sleep, 600, time=30),
        "within": hpcml.submit(within, time=5),
    }
    tasks = hpcml.submit(many, 16, nodes=2, ntasks=2, time=5)
    counter = hpcml.submit(Counter(), 40, time=5)
    until(lambda: over["cancelled"].running() and over["killed"].running())
    reason = over["waiting"].reason
    subprocess.run(["scancel", over["waiting"].id, over["cancelled"].id], check=True)
    subprocess.run(["scancel", "--batch", "--signal=KILL", over["killed"].id], check=True)
    for job, name in ((counter, "steps"), (tasks, "tasks")):
        until(lambda name=name: len(lines(name)) > 2)
        subprocess.run(["scancel", "--batch", "--signal=USR2", job.id], check=True)
    found = {name: outcome_of(job) for name, job in over.items()}
    return found | {"reason": reason, "ids": [tasks.id, counter.id]}


def again(*ids):
    """Return the results of jobs of another driver, and what their functions have done."""
    return {
        "results": [outcome_of(hpcml.Job(job)) for job in ids],
        "tasks": lines("tasks"),
        "steps": lines("steps"),
    }


def halve(x, table):
    log("calls", x)
    time.sleep(0.1)
    if Path("broken").exists() and x == 7:
        raise ValueError(x)
    if Path("broken").exists() and x == 20:
        os.kill(os.getpid(), 9)
    return x / 2 + table[-1]


def array():
    """Map once with two calls that fail, and again."""
    Path("broken").touch()
    table = bytes(4 << 20)
    found = {}
    for name in ("first", "second"):
        results = hpcml.map_array(halve, range(60), [table] * 60, resume=True, time=5, parallel=4)
        try:
            found[name] = list(results)
        except hpcml.ArrayFailed as error:
            found[name] = [str(error), sorted(error.results)]
        found[f"{name} ran"] = len(lines("calls"))
        Path("broken").unlink(missing_ok=True)
    found["data"] = [path.stat().st_size for path in Path(".hpcml/jobs/data").iterdir()]
    return found


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
