"""A part of the contract ring within an allocation, where engine ipyparallel takes its slots; tests/in-allocation
runs all of it.
"""

import re
from pathlib import Path

CONTRACT = Path(__file__).parents[1] / "contract"
# Calls, futures, functions that travel, retries; joblib's contract; data; chunks.
PARTS = ("test_cluster.py", "test_joblib.py", "test_chunks.py", "test_data.py")


def test_the_contract_holds_in_an_allocation(cluster):
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={cluster.shared_dir}/tmp", "-k", "ipyparallel"]
    parts = [CONTRACT / part for part in PARTS]
    allocation = ["salloc", "--quiet", "--nodes=3", "--ntasks-per-node=2"]
    done = cluster.run([*allocation, cluster.python, "-m", "pytest", *options, *parts], timeout=160)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 40
