"""Prints the names chosen by users as a script and its tasks see them: arguments, directory, variable, job."""

import json
import os
import sys

import hpcml


def see(_: int) -> list[str]:
    return [os.getcwd(), os.environ["CHOSEN"]]


with hpcml.Cluster() as cluster:
    seen = list(cluster.map(see, range(4 * cluster.slots)))
    job = os.environ["SLURM_JOB_NAME"]
    print(json.dumps({"argv": sys.argv, "seen": seen, "run_dir": str(cluster.run_dir), "job": job}))
