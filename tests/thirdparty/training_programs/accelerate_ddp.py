"""Hugging Face accelerate: a model that it prepares, one step, compared with the gradient by hand."""

import torch
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
layer = torch.nn.Linear(4, 1).double()
weight = layer.weight.detach().clone()
x = torch.randn(6, 4).double()
model, best = accelerator.prepare(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
size, rank = accelerator.num_processes, accelerator.process_index
accelerator.backward(model(x[rank * 6 // size : (rank + 1) * 6 // size]).mean())
best.step()
error = float((layer.weight.detach() - (weight - 0.1 * x.mean(0))).abs().max())
print("ranks", size, "error", error, flush=True)
accelerator.end_training()
