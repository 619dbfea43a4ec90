"""The school's k-means in the shape of 2019: how many clusters have these points? Written for ipyparallel.

hpcml run kmeans.py          writes scores_kmeans.csv and elbow.png
"""

import argparse
import csv
import os

import ipyparallel
from joblib import Parallel, delayed, parallel_backend
from matplotlib import pyplot as plt
from school_models import cluster, make_points, silhouette

FILE_DIR = os.path.dirname(os.path.realpath(__file__))

parser = argparse.ArgumentParser()
parser.add_argument("-p", "--profile", default="ipy_profile", help="name of the IPython profile")
parser.add_argument("--quick", action="store_true", help="few points, and few clusters")
arguments = parser.parse_args()

c = ipyparallel.Client(profile=arguments.profile)
# Each engine finds the module beside this script.
c[:].map_sync(os.chdir, [FILE_DIR] * len(c))
view = c.load_balanced_view()
view.register_joblib_backend()
print(f"engines {len(c)}")

X = make_points(arguments.quick)
numbers = range(2, 14 if arguments.quick else 20)
with parallel_backend("ipyparallel"):
    found = Parallel(n_jobs=len(c))(delayed(cluster)(X, k, arguments.quick) for k in numbers)

# By a view of ipyparallel's own: the engines import the module.
scores = view.map_sync(silhouette, [X] * len(found), [labels for _, _, labels, _ in found])

with open("scores_kmeans.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["clusters", "inertia", "silhouette", "node"])
    rows.writerows([k, inertia, score, node] for (k, inertia, _, node), score in zip(found, scores, strict=True))

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
axes.plot(numbers, [inertia for _, inertia, _, _ in found], "ko-", label="inertia")
axes.set(xlabel="clusters", ylabel="inertia (squared distance)", yscale="log", xticks=numbers)
right = axes.twinx()
right.plot(numbers, scores, "^--", color="grey", label="silhouette")
right.set(ylabel="silhouette")
figure.legend(loc="outside upper center", ncols=2)
figure.savefig("elbow.png", dpi=100)
best = max(range(len(found)), key=scores.__getitem__)
print(f"clusters {found[best][0]}, of the highest silhouette {scores[best]:.3f}")
