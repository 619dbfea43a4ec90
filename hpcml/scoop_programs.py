"""Public door of what programs of SCOOP use on a Cluster; see `hpcml.cluster.scoop`."""

from hpcml.cluster.scoop import futures, shared

__all__ = ["futures", "shared"]
