"""A part of the contract ring within an allocation, where engine ipyparallel takes its slots; tests/in-allocation
runs all of it.
"""

import re
from pathlib import Path

import pytest

CONTRACT = Path(__file__).parents[1] / "contract"
# Calls, futures, deaths and retries; joblib's contract.
PARTS = ("test_cluster.py", "test_joblib.py")


@pytest.mark.release("24.11")  # all of it was seen on the other
def test_the_contract_holds_in_an_allocation(cluster):
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={cluster.shared_dir}/tmp", "-k", "ipyparallel"]
    parts = [CONTRACT / part for part in PARTS]
    allocation = ["salloc", "--quiet", "--nodes=3", "--ntasks-per-node=2"]
    done = cluster.run([*allocation, cluster.python, "-m", "pytest", *options, *parts], timeout=160)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 25
