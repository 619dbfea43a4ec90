"""Libraries that were not written for hpcml give the same as with plain joblib or in one process."""

import functools
from importlib.util import find_spec

import numpy as np
import pytest
from joblib import parallel_config
from libraries import PROGRAMS

import hpcml

pytestmark = pytest.mark.filterwarnings("ignore")  # of these libraries, about numpy's and scikit-learn's versions


@pytest.fixture(scope="module", params=["local", "ipyparallel"])
def cluster(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    with hpcml.Cluster(request.param, slots_per_node=2, run_dir=place, progress=False) as opened:
        yield opened


@functools.cache
def expected(name):
    """Return the result of a program with joblib's own processes, and with the built-in ``map``."""
    with parallel_config("loky", n_jobs=2):
        return PROGRAMS[name](map, None)


def _installed(name):
    absent = f"{name} is not installed: make test-thirdparty"
    return pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=absent))


@pytest.mark.parametrize("name", [_installed(name) for name in PROGRAMS])
def test_a_library_gives_the_same_as_without_hpcml(name, cluster):
    with parallel_config("hpcml"):
        found = PROGRAMS[name](cluster.map, cluster)
    np.testing.assert_equal(found, expected(name))
