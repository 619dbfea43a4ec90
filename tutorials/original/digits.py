"""The school's grid search over digits, in today's shape. Written for ipyparallel.

hpcml run digits.py          writes scores_rbf_digits.csv and validation.png
"""

import argparse
import csv
import os

import ipyparallel as ipp
from ipyparallel.joblib import IPythonParallelBackend
from joblib import parallel_backend, register_parallel_backend
from matplotlib import pyplot as plt
from school_models import search

FILE_DIR = os.path.dirname(os.path.realpath(__file__))

parser = argparse.ArgumentParser()
parser.add_argument("-p", "--profile", default="ipy_profile", help="name of the IPython profile")
parser.add_argument("--quick", action="store_true", help="few digits, and a small grid")
arguments = parser.parse_args()

c = ipp.Client(profile=arguments.profile)
c.wait_for_engines(int(os.environ.get("NB_WORKERS", "1")))
c[:].map(os.chdir, [FILE_DIR] * len(c))
bview = c.load_balanced_view()
register_parallel_backend("ipyparallel", lambda: IPythonParallelBackend(view=bview))
print(f"engines {len(c)}")

with parallel_backend("ipyparallel"):
    found, accuracy = search(arguments.quick, n_jobs=len(c))
c.shutdown()

results = found.cv_results_
columns = [name for name in results if name.startswith(("param_", "mean_t", "std_t", "split", "rank"))]
columns = [name for name in columns if "time" not in name]
with open("scores_rbf_digits.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(columns)
    rows.writerows(zip(*(results[name].tolist() for name in columns), strict=True))

C, gamma = (sorted(set(results[name])) for name in ("param_C", "param_gamma"))
scores = results["mean_test_score"].reshape(len(C), len(gamma))
figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
mesh = axes.pcolormesh(gamma, C, scores, shading="nearest", cmap="Greys")
axes.set(xscale="log", yscale="log", xlabel="gamma", ylabel="C", title="mean accuracy in cross-validation")
best = found.best_params_
axes.plot(best["gamma"], best["C"], "o", color="white", markeredgecolor="black", markersize=12, label="best")
axes.legend()
figure.colorbar(mesh, label="accuracy")
figure.savefig("validation.png", dpi=100)
print(f"best C {best['C']:.3g}, gamma {best['gamma']:.3g}: accuracy {accuracy:.3f} on new digits")
