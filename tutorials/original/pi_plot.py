"""Speed-up and efficiency of pi.py, from the files pi_<workers>.json that its runs have left: pi_plot.png."""

import json
from pathlib import Path

from matplotlib import pyplot as plt

runs = sorted((json.loads(path.read_text()) for path in Path().glob("pi_*.json")), key=lambda run: run["workers"])
workers = [run["workers"] for run in runs]
# The baseline is the run with the fewest workers.
speedups = [workers[0] * runs[0]["seconds"] / run["seconds"] for run in runs]
efficiencies = [speedup / count for speedup, count in zip(speedups, workers, strict=True)]
for count, run, speedup, efficiency in zip(workers, runs, speedups, efficiencies, strict=True):
    print(f"{count:3} workers  {run['seconds']:7.2f} s  speed-up {speedup:5.2f}  efficiency {efficiency:4.0%}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
left.plot(workers, speedups, "ko-", label="measured")
left.plot(workers, workers, "--", color="grey", label="ideal")
left.set(xlabel="workers", ylabel="speed-up", ylim=(0, None), xticks=workers)
left.legend()
right.plot(workers, efficiencies, "ko-", label="measured")
right.axhline(1, color="grey", linestyle="--", label="ideal")
right.set(xlabel="workers", ylabel="efficiency (speed-up / workers)", ylim=(0, 1.2), xticks=workers)
right.legend()
figure.savefig("pi_plot.png", dpi=100)
