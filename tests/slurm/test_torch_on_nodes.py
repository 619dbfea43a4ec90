"""Training programs that were not written for hpcml, on three nodes by `hpcml run --engine torch`.

Each compares what its ranks have made with what one process makes, and prints the largest difference.
"""

import re
from pathlib import Path

import pytest
from patience import wait_until

pytest.importorskip("torch", reason="torch is not installed: make test-torch")

PROGRAMS = Path(__file__).parents[1] / "thirdparty" / "training_programs"
LIBRARIES = {"lightning_fabric_ddp": "lightning_fabric", "accelerate_ddp": "accelerate", "jax_sum": "jax"}
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.py"))
pytestmark = [pytest.mark.release("22.05"), pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", NAMES)
def test_a_program_runs_unchanged_on_three_nodes(name, cluster):
    library = LIBRARIES.get(name, "torch")
    pytest.importorskip(library, reason=f"{library} is not installed: make test-torch")
    command = [cluster.python, "-m", "hpcml", "run", "--engine", "torch", PROGRAMS / f"{name}.py"]
    done = cluster.run(["salloc", "--quiet", "-N3", "-n3", *command], timeout=120)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^ranks (\d+) error (\S+)$", done.stdout, re.M)
    assert [size for size, _ in found] == ["3"] * 3, done.stdout
    assert max(float(error) for _, error in found) < 1e-12


def test_a_killed_rank_of_torch_ends_the_others(cluster):
    """They wait in a collective, or in the store, for minutes."""
    code = "import torch.distributed as d; d.init_process_group('gloo'); print('met', flush=True); "
    code += "d.get_rank() == 1 and __import__('os').kill(__import__('os').getpid(), 9); d.barrier()"
    command = [cluster.python, "-m", "hpcml", "run", "--engine", "torch", "-c", code]
    done = cluster.run(["salloc", "--quiet", "-N2", "-n2", *command], timeout=90)
    assert done.returncode == 137, done.stderr
    assert "hpcml: rank 1 of 2, on n2, was ended by SIGKILL" in done.stderr
    wait_until(lambda: not any(cluster.processes(node) for node in cluster.nodes), 10)
