"""``hpcml scaling`` with Slurm: parts of an allocation, and a job for each run."""

import csv

import pytest

SCRIPT = """
import os, time
from joblib import Parallel, delayed

def node(seconds):
    time.sleep(seconds)
    return os.environ["SLURMD_NODENAME"]

print("nodes", len(set(Parallel(n_jobs=-1, batch_size=1)(delayed(node)(0.4) for _ in range(10)))))
"""

RANKS = "import os; print('epoch', 6 / int(os.environ['WORLD_SIZE']), 's from', os.environ['SLURMD_NODENAME'])"


def rows(cluster, name="script"):
    with (cluster.shared_dir / f"scaling-{name}/scaling.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.release("24.11")
def test_parts_of_an_allocation(cluster):
    cluster.write("script.py", SCRIPT)
    words = ["--slots", "2,5", "--repeat", "1", "--quality", "nodes (.*)"]
    command = [cluster.python, "-m", "hpcml", "scaling", *words]
    done = cluster.run(["salloc", "-Q", "-N3", "-n7", *command, "script.py"], timeout=120)
    assert done.returncode == 0, done.stderr
    two, five = rows(cluster)
    assert (two["slots"], five["slots"]) == ("2", "5")
    assert (two["quality"], five["quality"]) == ("1.0", "2.0"), "the first nodes have the slots"
    assert float(two["billed"]) > 0
    assert float(two["core_hours"]) > float(two["core_hours_used"]), "the nodes that were idle cost as well"
    cluster.write("ranks.py", RANKS)
    words = ["--engine", "torch", "--slots", "2,5", "--repeat", "1", "--seconds", "epoch (.*) s from"]
    command = [cluster.python, "-m", "hpcml", "scaling", *words, "ranks.py"]
    done = cluster.run(["salloc", "-Q", "-N3", "-n7", *command], timeout=120)
    assert done.returncode == 0, done.stderr
    assert [row["seconds"] for row in rows(cluster, "ranks")] == ["3.0", "1.2"]
    refused = cluster.run(["salloc", "-Q", "-n2", *command])
    assert refused.returncode == 1
    assert "has 2 slots, and the study needs 5" in refused.stderr


def variables(cluster):
    """Return the variables of a user whose commands ask Slurm each second."""
    home = cluster.shared_dir / "home"
    (home / ".config").mkdir(parents=True)
    (home / ".config" / "hpcml.toml").write_text("query_seconds = 1\n")
    return {"HOME": str(home), "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None}


@pytest.mark.release("22.05")
def test_each_run_is_a_job(cluster):
    cluster.write("script.py", SCRIPT)
    words = ["--slots", "1,6", "--repeat", "1", "--quality", "nodes (.*)", "--sbatch", "--ntasks-per-node=2 -t 5"]
    command = [cluster.python, "-m", "hpcml", "scaling", *words, "script.py"]
    done = cluster.run(command, variables(cluster), timeout=120)
    assert done.returncode == 0, done.stderr
    one, six = rows(cluster)
    assert (one["nodes"], six["nodes"], six["quality"]) == ("1", "3", "3.0")
    assert float(one["seconds"]) > 4 > 4 * 0.9 > float(six["seconds"])
    assert float(six["billed"]) == pytest.approx(float(six["core_hours"]))


@pytest.mark.release("22.05")
def test_ranks_of_engine_torch_in_jobs(cluster):
    cluster.write("ranks.py", RANKS)
    words = ["--engine", "torch", "--slots", "2,3", "--repeat", "1", "--seconds", "epoch (.*) s from"]
    words += ["--sbatch", "--ntasks-per-node=2 -t 5", "ranks.py"]
    command = [cluster.python, "-m", "hpcml", "scaling", *words]
    done = cluster.run(command, variables(cluster), timeout=120)
    assert done.returncode == 0, done.stderr
    assert [(row["seconds"], row["nodes"]) for row in rows(cluster, "ranks")] == [("3.0", "1"), ("2.0", "2")]
