"""Lightning Fabric: it finds the ranks by itself; a sum over all, and one step of DDP."""

import os

import torch
from lightning_fabric import Fabric

nodes = int(os.environ.get("SLURM_NNODES", "1"))
fabric = Fabric(accelerator="cpu", strategy="ddp", devices=int(os.environ["WORLD_SIZE"]) // nodes, num_nodes=nodes)
fabric.launch()
torch.manual_seed(0)
layer = torch.nn.Linear(4, 1).double()
weight = layer.weight.detach().clone()
x = torch.randn(6, 4).double()
model, best = fabric.setup(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
rows = slice(fabric.global_rank * 6 // fabric.world_size, (fabric.global_rank + 1) * 6 // fabric.world_size)
fabric.backward(model(x[rows]).mean())
best.step()
error = float((layer.weight.detach() - (weight - 0.1 * x.mean(0))).abs().max())
print("ranks", fabric.world_size, "error", error, flush=True)
