"""Store of trained models: versions that do not change, with their origin, and the one that is in use."""

from hpcml.models.manifest import ModelVersion
from hpcml.models.store import ModelStore

__all__ = ["ModelStore", "ModelVersion"]
