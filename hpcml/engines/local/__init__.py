"""Engine ``local``: workers on this computer."""

from hpcml.engines.local.engine import start

__all__ = ["start"]
