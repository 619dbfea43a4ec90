"""Wall time of a map over workers of which half have a slow GPU, three times as slow, beyond the ideal.

    python uneven.py POOL SLOTS MEASURE…      prints {MEASURE: value, …} as JSON

uneven_20ms    wall time over that of workers which all end together, for tasks of 20 ms on a fast GPU, after a
               warm-up with a tenth of the tasks

The GPUs are fake: each worker has the number of one, and sleeps longer where that is odd.
"""

import importlib
import json
import os
import re
import sys
import time

from tasks import same

IDEAL = 6.0  # seconds that the tasks would ideally take
GPUS = "0,1,2,3"  # of each node
SLOW = 3  # times the seconds of a fast GPU


def work(seconds: float) -> None:
    """Sleep for so long on a fast GPU, on a slow one longer."""
    time.sleep(seconds * (SLOW if int(os.environ["CUDA_VISIBLE_DEVICES"]) % 2 else 1))


def main(name: str, slots: int, measures: list[str]) -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = GPUS
    values = {}
    with importlib.import_module(f"{name}_pool").open_pool(slots) as pool:
        pool.each(same)
        for measure in measures:
            seconds = int(re.fullmatch(r"uneven_(\d+)ms", measure).group(1)) / 1000
            rate = slots / 2 * (1 + 1 / SLOW) / seconds
            tasks = round(IDEAL * rate)
            pool.map(work, [seconds] * (tasks // 10))
            began = time.perf_counter()
            pool.map(work, [seconds] * tasks)
            values[measure] = (time.perf_counter() - began) * rate / tasks
    print(json.dumps(values))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
