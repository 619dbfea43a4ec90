"""Run ipyparallel's own tests, which its package holds, on engines that hpcml started: `make test-ipyparallel`.

Those that cannot pass are left out, each for the reason in `LEFT_OUT`. The exit status is that of the last module
that failed.
"""

import os
import subprocess
import sys
from pathlib import Path

from ipyparallel_engines import ENGINES

__all__: list[str] = []

MODULES = ("view", "view_broadcast", "asyncresult", "lbview", "executor", "magics", "joblib", "dependency",
           "remotefunction", "label")  # fmt: skip
NO_RECORDS = "the hub keeps no record of requests and results, for it would have to read every task"
LEFT_OUT = {
    "test_get_result": NO_RECORDS,
    "test_hubresult_timestamps": NO_RECORDS,
    "test_autopx_blocking": f"%autopx works; the test gets a result once more after it was taken: {NO_RECORDS}",
    "test_default_backend": "the test looks for a view in ipyparallel's own backend; hpcml's has none",
}


def main() -> int:
    """Run the tests of each module in a Cluster of its own; return the exit status."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(here)}
    settings = ["-c", os.devnull, f"--rootdir={here}", "-p", "no:cacheprovider", "-W", "ignore"]
    wanted = " and ".join(f"not {name}" for name in LEFT_OUT)
    status = 0
    for module in sys.argv[1:] or MODULES:
        words = ["-p", "ipyparallel_engines", "-k", wanted, "--pyargs", f"ipyparallel.tests.test_{module}"]
        command = [sys.executable, "-m", "hpcml", "run", "--quiet", "--engine", "ipyparallel"]
        command += ["--slots-per-node", str(ENGINES), "-m", "pytest", "-q", *settings, *words]
        print(f"ipyparallel.tests.test_{module}", flush=True)
        status = subprocess.run(command, env=environment, check=False).returncode or status
    for name, reason in LEFT_OUT.items():
        print(f"left out: {name}: {reason}")
    return status


if __name__ == "__main__":
    sys.exit(main())
