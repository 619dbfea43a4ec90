"""Pipeline parallelism: a layer on each rank, four micro-batches, compared with one process."""

import torch
import torch.distributed as dist
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
layers = [torch.nn.Linear(6, 6).double() for _ in range(size)]
x = torch.randn(8, 6).double()
stage = PipelineStage(layers[rank], rank, size, torch.device("cpu"))
schedule = ScheduleGPipe(stage, n_microbatches=4)
found = schedule.step(x) if rank == 0 else schedule.step()
error = float((found - torch.nn.Sequential(*layers)(x)).detach().abs().max()) if rank == size - 1 else 0.0
print("ranks", size, "error", error, flush=True)
dist.destroy_process_group()
