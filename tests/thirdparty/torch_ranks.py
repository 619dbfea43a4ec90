"""Training with torch on ranks of gloo; started with RANK and WORLD_SIZE, a directory, and the name of a function.

Rank 0 prints as JSON what the function returns.
"""

import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn

from hpcml.training import Checkpoints, DataParallel

STEPS, BATCH, PER_EPOCH = 10, 32, 5
X = torch.randn(150, 6, generator=torch.Generator().manual_seed(0))  # divisible by neither batch nor ranks
Y = X.sum(1, keepdim=True).tanh()


class Net(nn.Module):
    """Layers with dropout, batch norm, and one that is not used."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(8, 1)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.norm(self.first(x)))))


def digest(value):
    """Return a number that differs where any bit of nested tensors differs."""
    if isinstance(value, torch.Tensor):
        return hash(value.detach().numpy().tobytes())
    if isinstance(value, dict):
        return hash(tuple((key, digest(one)) for key, one in value.items()))
    return hash(tuple(map(digest, value))) if isinstance(value, list | tuple) else hash(value)


def train(directory, *, steps=STEPS, end=STEPS):
    """Train until `end`, saving after each step; return what the last bits depend on."""
    parallel = DataParallel()
    torch.manual_seed(parallel.rank)
    model = parallel.copy_first(Net())
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    with Checkpoints(directory) as checkpoints:
        loaded = checkpoints.load()
        if loaded:
            model.load_state_dict(loaded.state["model"] | (loaded.rank_state or {}))  # statistics of batch norm
            optimizer.load_state_dict(loaded.state["optimizer"])
            scheduler.load_state_dict(loaded.state["scheduler"])
        for step in range(loaded.step if loaded else 0, end):
            epoch, number = divmod(step, PER_EPOCH)
            mine = next(parallel.batches(len(X), BATCH, seed=5, epoch=epoch, first=number))
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(X[mine]), Y[mine])
            loss.backward()
            parallel.average_gradients(model, len(mine))
            optimizer.step()
            scheduler.step()
            state = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
            state = {name: one.state_dict() for name, one in state.items()}
            checkpoints.save(state, step + 1, rank_state=dict(model.named_buffers()), wait=step % 2 == 0)
    weights = digest(list(model.parameters()))
    return [
        weights,
        digest([model.state_dict(), optimizer.state_dict()]),
        float(loss.detach()),
        torch.rand(1).item(),
    ]


def resumed():
    """Train without a break, and with one."""
    place = Path(sys.argv[1])
    whole = train(place / "whole")
    train(place / "parts", end=6)
    parts = train(place / "parts")
    all_ends = [None] * distributed.get_world_size()
    distributed.all_gather_object(all_ends, [whole, parts])
    return all_ends


def gradients():
    """Compare gradients of shares with those of all rows; some parameters have a gradient on one rank alone."""
    parallel, errors = DataParallel(), {}
    for kind in (torch.float64, torch.float32, torch.bfloat16):
        torch.manual_seed(1)
        model, whole = (
            nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 1), nn.Linear(6, 1)]).to(kind) for _ in range(2)
        )
        whole.load_state_dict(model.state_dict())
        worst = 0.0
        for batch in (2, BATCH):  # with 2, shares are empty
            for number in range(3):
                rows = next(DataParallel(alone()).batches(len(X), batch, seed=2, first=number))
                mine = next(parallel.batches(len(X), batch, seed=2, first=number))
                backward(model, mine, kind, with_last=parallel.rank == 0)
                parallel.average_gradients(model, len(mine))
                backward(whole, rows, kind, with_last=False)
                worst = max(worst, *(difference(one, other) for one, other in zip(
                    list(model.parameters())[:4], list(whole.parameters())[:4], strict=True)))  # fmt: skip
        errors[str(kind)] = worst
    has = [one.grad is not None for one in model.parameters()]
    mean = parallel.mean({"loss": 1.0 + parallel.rank, "all": np.arange(3.0)}, 1)
    return {"errors": errors, "has": has, "loss": mean["loss"]}


def alone():
    """Return the group of this rank alone."""
    groups = [distributed.new_group([rank]) for rank in range(distributed.get_world_size())]
    return groups[distributed.get_rank()]


def backward(model, rows, kind, with_last):
    model.zero_grad()
    if len(rows):
        x, y = X[rows].to(kind), Y[rows].to(kind)
        out = model[1](torch.tanh(model[0](x)))
        loss = ((out - y) ** 2).mean() + (model[2](x).mean() if with_last else 0)
        loss.backward()


def difference(one, other):
    return float((one.grad - other.grad).abs().max() / other.grad.abs().max())


def sharded():
    """Save by torch.distributed.checkpoint into a version, and load on as many ranks as there are."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    place, size = Path(sys.argv[1]), distributed.get_world_size()
    mesh = init_device_mesh("cpu", (size,))
    whole = torch.arange(24.0).reshape(12, 2)
    logging.getLogger("hpcml").disabled = True  # of another number of ranks
    with Checkpoints(place) as checkpoints:
        loaded = checkpoints.load()
        if loaded is None:
            state = {"weights": distribute_tensor(whole, mesh, [Shard(0)])}
            for step in (1, 2):
                with checkpoints.new(step, state={"epoch": 3}) as directory:
                    dcp.save(state, checkpoint_id=directory)
            return {"files": len(list(directory.iterdir()))}
        state = {"weights": distribute_tensor(torch.zeros(12, 2), mesh, [Shard(0)])}
        dcp.load(state, checkpoint_id=loaded.directory)
        equal = torch.equal(state["weights"].full_tensor(), whole)
        return {"equal": equal, "step": loaded.step, "ranks": loaded.world_size, **loaded.state}


if __name__ == "__main__":
    os.environ["PYTHONHASHSEED"] = "0"
    torch.set_num_threads(1)
    store = f"file://{sys.argv[1]}/store-{sys.argv[2]}-{os.environ['WORLD_SIZE']}"
    distributed.init_process_group(
        "gloo", init_method=store, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"])
    )
    result = {"resumed": resumed, "gradients": gradients, "sharded": sharded}[sys.argv[2]]()
    if distributed.get_rank() == 0:
        print(json.dumps(result))
    distributed.destroy_process_group()
