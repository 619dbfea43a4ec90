"""Parts of ipyparallel that a program of `hpcml run` finds replaced, in ipyparallel's own classes.

Names of ipyparallel that are not public are in the table of `hpcml.engines.libraries`.
"""

import functools
from typing import Any, cast

import ipyparallel
from ipyparallel.client._joblib import IPythonParallelBackend

from hpcml.cluster.ipyparallel.backend import new_backend
from hpcml.cluster.ipyparallel.clients import connection_for
from hpcml.cluster.ipyparallel.launchers import launchers_for
from hpcml.engines.ipyparallel.views import await_news
from hpcml.engines.libraries import check_parts

__all__ = ["replace_parts"]


def replace_parts() -> None:
    """Replace what connects to a controller, starts one, or runs joblib's calls.

    The classes stay what they are, so that programs may check for them and derive from them.

    Raises
    ------
    EngineError
        ipyparallel lacks a name that is used here.
    """
    check_parts("ipyparallel.client")
    _replace_client(ipyparallel.Client)
    _replace_cluster(ipyparallel.Cluster)
    _replace_backend(IPythonParallelBackend)


def _replace_client(client_class: Any) -> None:
    connect = client_class.__init__

    @functools.wraps(connect)
    def _connect(self: Any, connection_info: Any = None, **arguments: Any) -> None:
        found = connection_for(connection_info, arguments)
        connect(self, **found)
        if found.get("connection_info") is not connection_info:
            await_news(self)

    client_class.__init__ = _connect


def _replace_cluster(cluster_class: Any) -> None:
    construct = cluster_class.__init__
    load = cluster_class.from_file.__func__

    @functools.wraps(construct)
    def _construct(self: Any, **arguments: Any) -> None:
        construct(self, **launchers_for(arguments))

    @functools.wraps(load)
    def _load(cls: Any, cluster_file: str | None = None, **arguments: Any) -> Any:
        if cluster_file is not None:
            return load(cls, cluster_file, **arguments)
        return cls(**arguments).start_cluster_sync()

    cluster_class.__init__ = _construct
    cluster_class.from_file = classmethod(cast(Any, _load))


def _replace_backend(backend_class: Any) -> None:
    def _new(cls: Any, view: Any = None, **settings: Any) -> Any:
        ours = new_backend(view, settings)
        return object.__new__(cls) if ours is None else ours

    backend_class.__new__ = _new
