"""Choice of joblib's Cluster: the innermost that is open, or a clear error without one."""

import pytest
from joblib import Parallel, delayed, effective_n_jobs, parallel_config

import hpcml
from hpcml.errors import HpcmlError


def test_without_an_open_cluster_the_error_shows_the_code():
    with pytest.raises(HpcmlError, match=r"no Cluster is open(?s:.*)with hpcml.Cluster\(\):"):
        Parallel(n_jobs=2, backend="hpcml")(delayed(abs)(n) for n in range(3))
    with pytest.raises(HpcmlError, match="no Cluster is open"), parallel_config("hpcml"):
        Parallel()(delayed(abs)(n) for n in range(3))


def test_the_innermost_cluster_is_used(tmp_path):
    with hpcml.Cluster("local", slots_per_node=2, run_dir=tmp_path, progress=False):
        with hpcml.Cluster("local", slots_per_node=4, run_dir=tmp_path, progress=False), parallel_config("hpcml"):
            assert effective_n_jobs(-1) == 4
        with parallel_config("hpcml"):
            assert effective_n_jobs(-1) == 2
