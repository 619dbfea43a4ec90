"""The school's unsupervised exercise, as it is written for ipyparallel: k-means with growing numbers."""

import argparse
import os
import pickle

import ipyparallel
from joblib import Parallel, delayed, parallel_backend
from school_models import cluster, make_points

FILE_DIR = os.path.dirname(os.path.realpath(__file__))

parser = argparse.ArgumentParser()
parser.add_argument("-p", "--profile", required=True)
parser.add_argument("output")
arguments = parser.parse_args()

c = ipyparallel.Client(profile=arguments.profile)
c[:].map_sync(os.chdir, [FILE_DIR] * len(c))
view = c.load_balanced_view()
view.register_joblib_backend()

X = make_points()
with parallel_backend("ipyparallel"):
    found = Parallel(n_jobs=len(c))(delayed(cluster)(X, k) for k in range(2, 14))

# The same by a view of ipyparallel's own: the engines import the module beside the script.
again = view.map_sync(cluster, [X] * 4, range(2, 6))

with open(arguments.output, "wb") as file:
    pickle.dump((found, again, len(c)), file)
c.shutdown(hub=True, block=True)
