"""Registration of the backend in the programs of the nodes, which import this module before they fork workers.

A task may use the backend too, and these programs import no other part of `hpcml.public`.
"""

from hpcml.cluster.joblib.registration import register_backend

__all__: list[str] = []

register_backend()
