"""Epoch of a torch module on two ranks, by `DataParallel` and by torch's own DistributedDataParallel.

    python torch_epoch.py hpcml 2 train_torch_2      prints {MEASURE: value, …} as JSON, on this computer

train_torch_2   seconds of an epoch of a network of 0.8 M weights; beside DistributedDataParallel ("ddp")

Torch has an environment of its own, `make .venv-torch/test`, whose Python runs the ranks.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-torch/bin/python"
INSTALL_TIMEOUT = 1200
ROWS, BATCH, WIDTH, REPEATS = 16_384, 4096, 784, 7


def start(ranks: str) -> None:
    """Become the command that starts the ranks."""
    make = ["make", "--silent", ".venv-torch/test"]
    subprocess.run(make, cwd=ROOT, check=True, timeout=INSTALL_TIMEOUT, stdout=sys.stderr)
    words = ["-m", "hpcml", "run", "--quiet", "--engine=torch", f"--slots-per-node={ranks}", *sys.argv]
    os.environ["OMP_NUM_THREADS"] = "1"
    os.execv(PYTHON, [str(PYTHON), *words])


def measure(torch: Any) -> dict[str, float]:
    """Return the median seconds of an epoch by each, which take turns."""
    from torch import distributed, nn

    from hpcml.training import DataParallel

    distributed.init_process_group("gloo")
    parallel = DataParallel()
    torch.manual_seed(0)
    x, y = torch.rand(ROWS, WIDTH), torch.rand(ROWS, 10)

    def network() -> Any:
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(WIDTH, 1000), nn.ReLU(), nn.Linear(1000, 10))

    def train(model: Any, module: Any, averages: bool) -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for mine in parallel.batches(ROWS, BATCH, seed=1):
            optimizer.zero_grad()
            nn.functional.mse_loss(module(x[mine]), y[mine]).backward()
            if averages:
                parallel.average_gradients(model, len(mine))
            optimizer.step()

    ours, theirs = network(), network()
    calls = {"train_torch_2": (ours, ours, True),
             "train_torch_2 ddp": (theirs, nn.parallel.DistributedDataParallel(theirs), False)}  # fmt: skip
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, arguments in calls.items():
            distributed.barrier()
            began = time.perf_counter()
            train(*arguments)
            distributed.barrier()
            spent[name].append(time.perf_counter() - began)
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in pairs)
    distributed.destroy_process_group()
    return {name: median(seconds) for name, seconds in spent.items()}


def main() -> None:
    _, pool, ranks, *names = sys.argv
    assert (pool, names) == ("hpcml", ["train_torch_2"])
    if "RANK" not in os.environ:
        start(ranks)
    import torch

    found = measure(torch)
    if os.environ["RANK"] == "0":
        print(json.dumps(found))


if __name__ == "__main__":
    main()
