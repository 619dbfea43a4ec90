"""Tensor parallelism: two layers divided by columns and by rows, compared with one process."""

import os

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module


def made():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 24), torch.nn.ReLU(), torch.nn.Linear(24, 6)).double()


mesh = init_device_mesh("cpu", (int(os.environ["WORLD_SIZE"]),))
model = parallelize_module(made(), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
x = torch.randn(5, 8).double()
print("ranks", dist.get_world_size(), "error", float((model(x) - made()(x)).detach().abs().max()), flush=True)
dist.destroy_process_group()
