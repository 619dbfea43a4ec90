"""FSDP2: one step of a model whose parameters are divided among the ranks, compared with one process."""

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def made():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 24), torch.nn.Tanh(), torch.nn.Linear(24, 6)).double()


def stepped(model, x):
    best = torch.optim.Adam(model.parameters(), lr=0.01)
    model(x).square().mean().backward()
    best.step()
    return model


dist.init_process_group("gloo")
size = dist.get_world_size()
model, alone = made(), made()
mesh = init_device_mesh("cpu", (size,))
for layer in (model[0], model[2], model):
    fully_shard(layer, mesh=mesh)
x = torch.randn(12, 8).double()
stepped(model, x)
stepped(alone, x)
pairs = zip(model.parameters(), alone.parameters(), strict=True)
error = max(float((one.full_tensor() - other).detach().abs().max()) for one, other in pairs)
print("ranks", size, "error", error, flush=True)
dist.destroy_process_group()
