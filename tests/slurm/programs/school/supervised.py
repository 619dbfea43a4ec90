"""The school's supervised exercise, as it is written for ipyparallel: a grid search."""

import argparse
import os
import pickle

import ipyparallel as ipp
from ipyparallel.joblib import IPythonParallelBackend
from joblib import parallel_backend, register_parallel_backend
from school_models import search

FILE_DIR = os.path.dirname(os.path.realpath(__file__))

parser = argparse.ArgumentParser()
parser.add_argument("-p", "--profile", required=True)
parser.add_argument("output")
arguments = parser.parse_args()

c = ipp.Client(profile=arguments.profile)
c.wait_for_engines(1)
c[:].map(os.chdir, [FILE_DIR] * len(c))
bview = c.load_balanced_view()
register_parallel_backend("ipyparallel", lambda: IPythonParallelBackend(view=bview))

with parallel_backend("ipyparallel"):
    found = search(n_jobs=len(c))

with open(arguments.output, "wb") as file:
    pickle.dump(found.cv_results_, file)
c.shutdown()
