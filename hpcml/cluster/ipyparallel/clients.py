"""Connections of a program's clients: to the open Cluster, unless they name another controller."""

from collections.abc import Mapping
from typing import Any

from hpcml.cluster.current import current_cluster, ipyparallel_workers

__all__ = ["connection_for", "is_of_open_cluster", "open_connection"]

FILES = ("url_file", "url_or_file")  # older names of connection_info


def open_connection() -> dict[str, Any]:
    """Return arguments of ipyparallel's Client that connect it to the Cluster that is open.

    Raises
    ------
    HpcmlError
        No Cluster is open, or its engine is another.
    """
    cluster = current_cluster("a client of ipyparallel was asked for")
    connection: dict[str, Any] = ipyparallel_workers(cluster).connection
    return connection


def connection_for(connection_info: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which ipyparallel's Client is made, for those that a program gives.

    A file, connection information, or an SSH server name another controller; a profile or a cluster's id do not.
    """
    others = {name: value for name, value in arguments.items() if name not in FILES}
    files = [connection_info, *(arguments.get(name) for name in FILES)]
    given = next((one for one in files if one is not None), None)
    if given is None and arguments.get("sshserver") is None:
        return {**others, **open_connection()}
    return {**others, "connection_info": given}


def is_of_open_cluster(client: Any) -> bool:
    """Return whether a client of ipyparallel is connected to the Cluster that is open."""
    key: str = open_connection()["connection_info"]["curve_serverkey"]
    return bool(client.curve_serverkey == key.encode("ascii"))
