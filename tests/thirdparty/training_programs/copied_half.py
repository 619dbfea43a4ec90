"""A module in half precision of which MPI's rank 0 has the weights; each rank prints a line."""

import torch
from mpi4py import MPI

from hpcml.training import DataParallel

comm = MPI.COMM_WORLD
model = torch.nn.Linear(3, 2).bfloat16()
with torch.no_grad():
    model.weight.fill_(comm.rank + 1)
    model.bias.fill_(comm.rank + 0.5)
DataParallel(comm).copy_first(model)
print(model.weight.float().unique().tolist(), model.bias.float().unique().tolist(), flush=True)
