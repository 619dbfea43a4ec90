"""Proportional set size of the worker step for each of its workers, before the user's own imports.

    python memory.py POOL SLOTS MEASURE      prints {MEASURE: MB, …} as JSON
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tasks import same

PSS = str(Path(__file__).with_name("pss.py"))


def main(name: str, slots: int, measure: str) -> None:
    module = importlib.import_module(f"{name}_pool")
    step = ["srun", "--overlap", "--mem=0", "--nodes=1", "--ntasks=1", "--mpi=none", "--input=none"]
    environment = {key: value for key, value in os.environ.items() if key != "SLURM_NTASKS_PER_NODE"}
    with module.open_pool(slots, bare=True) as pool:
        pool.each(same)
        command = [*step, sys.executable, PSS, module.WORKER]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
    found = json.loads(done.stdout)
    print(json.dumps({measure: found["bytes"] / 1e6 / slots, "processes": found["processes"]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
