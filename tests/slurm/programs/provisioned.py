"""Opens a Cluster that asks Slurm for nodes, and follows orders: each line of standard input is Python.

python provisioned.py OPTIONS SILENCE    options of hpcml.Cluster as JSON; seconds without a sign of life

An order sees `cluster` and `work`, and is answered by a line with its value as JSON. The first line has the slots.
"""

import json
import os
import sys
import time
from collections import Counter

import hpcml
from hpcml.cluster.fleet import choice
from hpcml.cluster.fleet.request import Timing


def where(number, seconds, data):
    while isinstance(seconds, str) and not os.path.exists(seconds):
        time.sleep(0.1)
    time.sleep(0 if isinstance(seconds, str) else seconds)
    return os.environ["SLURM_JOB_ID"], len(data)


def work(cluster, tasks, seconds=0.2, data=b""):
    """Run tasks with the same data; return how many ran in each job, and how many bytes they got.

    `seconds` may be the path of a file, which the tasks wait for.
    """
    seen = list(cluster.map(where, range(tasks), [seconds] * tasks, [data] * tasks))
    return Counter(job for job, _ in seen), {nbytes for _, nbytes in seen} == {len(data)}


def main():
    silence = float(sys.argv[2])
    choice.TIMING = Timing(beat=silence / 9, first=silence / 3, silence=silence)
    with hpcml.Cluster(**json.loads(sys.argv[1])) as cluster:
        print(cluster.slots, flush=True)
        for line in sys.stdin:
            print(json.dumps(eval(line, {"cluster": cluster, "work": work})), flush=True)


if __name__ == "__main__":
    main()
