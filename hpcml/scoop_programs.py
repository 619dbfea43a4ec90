"""Public modules for programs of SCOOP on a Cluster; see `hpcml.cluster.scoop`."""

from hpcml.cluster.scoop import futures, shared

__all__ = ["futures", "shared"]
