"""Prints, as JSON, which workers a Cluster has: host, slot, threads and CPU mask of each.

python workers.py [option=value …]      options of hpcml.Cluster, in Python's notation
"""

import ast
import json
import os
import sys
import time

import hpcml


def describe(_):
    import numpy  # noqa: F401  threadpoolctl sees the libraries that are loaded
    from threadpoolctl import threadpool_info

    from hpcml.engines.worker import current_worker

    time.sleep(0.3)
    worker = current_worker()
    return {
        "node": os.environ["SLURMD_NODENAME"],
        "host": worker.host,
        "slot": worker.slot,
        "threads": max(pool["num_threads"] for pool in threadpool_info()),
        "cpus": sorted(os.sched_getaffinity(0)),
        "pid": os.getpid(),
    }


def main():
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    began = time.monotonic()
    with hpcml.Cluster(**{name: ast.literal_eval(value) for name, value in options.items()}) as cluster:
        ready = time.monotonic() - began
        found = {(w["node"], w["slot"]): w for w in cluster.map(describe, range(8 * cluster.slots))}
        seen = {"slots": cluster.slots, "hosts": cluster.hosts, "ready": ready, "workers": list(found.values())}
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
