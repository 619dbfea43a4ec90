"""Prints, as JSON, the Python of tasks on all slots, and uses compiled libraries, data files and `sys.executable`.

python staged.py [kill]      kill: a task kills the holder of the copy on its node
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import helper_beside
import numpy
from joblib import Parallel, delayed


def describe(number):
    import sysconfig

    import ipyparallel

    time.sleep(0.2)
    command = [sys.executable, "-m", "json.tool", "--help"]
    return {
        "node": os.environ["SLURMD_NODENAME"],
        "prefix": sys.prefix,
        "library": os.path.relpath(ipyparallel.__file__, sys.prefix),
        "versions": [numpy.__version__, sys.version, sysconfig.get_platform()],
        "data": Path(sys.prefix, "share/hpcml-test/data.txt").read_text(),
        "compiled": float(numpy.linalg.norm(numpy.full(4, float(number)))),
        "module": subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1],
        "beside": helper_beside.__file__,
        "mode": oct(os.stat(os.path.dirname(sys.prefix)).st_mode & 0o777),
    }


def kill_holder(_):
    for process in filter(str.isdigit, os.listdir("/proc")):
        words = Path("/proc", process, "cmdline").read_bytes().split(b"\0")
        if words[1:2] == [b"-c"] and b"holder.sh" in words[2]:
            os.kill(int(process), signal.SIGKILL)
            return os.environ["SLURMD_NODENAME"]


if __name__ == "__main__":
    found = Parallel(n_jobs=-1)(delayed(describe)(number) for number in range(24))
    killed = Parallel(n_jobs=-1)([delayed(kill_holder)(0)])[0] if sys.argv[1:] == ["kill"] else ""
    print(json.dumps({"tasks": found, "killed": killed}))
