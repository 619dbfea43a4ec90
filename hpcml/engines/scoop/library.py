"""Import of SCOOP: one version alone, and a check of every part that is used or replaced here."""

import importlib.metadata
import sys
import warnings
from types import SimpleNamespace
from typing import Any

from hpcml.engines.libraries import missing_library
from hpcml.errors import EngineError

__all__ = ["check_parts", "check_version", "load"]

VERSION = "0.7.2.0"

USED: dict[str, tuple[str, ...]] = {
    "scoop": ("CONFIGURATION", "IS_RUNNING", "SHUTDOWN_REQUESTED", "TIME_BETWEEN_STATUS_REPORTS", "logger"),
    "control": ("current", "execQueue", "execStats", "futureDict", "runController"),
    "futures": ("_controller", "_createFuture", "_startup", "_waitAny", "map", "submit"),
    "shared": ("elements", "getConst", "setConst"),
    "encapsulation": ("pickle",),
    "utils": ("initLogging",),
    "comm": ("pickle", "random", "zmq", "Shutdown", "REPLY", "STATUS_DONE", "TASK", "ZMQCommunicator"),
    "comm.ZMQCommunicator": ("_recv", "_reportFutures", "addPeer", "createZMQSocket", "pumpInfoSocket",
                             "sendFuture", "sendResult", "shutdown"),
    "types": ("Future", "FutureQueue"),
    "types.FutureQueue": ("append", "askForPreviousFutures", "flush", "pop", "requestFuture", "shutdown",
                          "timelen", "updateQueue"),
    "broker": ("Broker", "zmq"),
    "broker.Broker": ("getPorts", "processConfig", "run"),
    "structs": ("BrokerInfo",),
}  # fmt: skip
"""Parts of SCOOP that are used or replaced; see `load` for the names."""


def check_version(found: str) -> None:
    """Raise EngineError unless `found` is the version whose internals `patches` changes."""
    if found != VERSION:
        raise EngineError(
            f"engine 'scoop' changes the internals of SCOOP {VERSION}, and {sys.executable} has SCOOP {found}: "
            "type `pip install 'hpcml[scoop]'`"
        )


def check_parts(library: Any) -> None:
    """Raise EngineError where `library` lacks a part that is in `USED`."""
    for path, names in USED.items():
        part = library
        for step in path.split("."):
            part = getattr(part, step)
        missing = [name for name in names if not hasattr(part, name)]
        if missing:
            raise EngineError(
                f"engine 'scoop' needs {path}.{missing[0]} of SCOOP {VERSION}, which that of {sys.executable} "
                "lacks: it is not the released one. Type `pip install --force-reinstall 'hpcml[scoop]'`"
            )


def load() -> Any:
    """Import SCOOP, without its warnings, and return its modules by short names.

    Raises
    ------
    EngineError
        SCOOP is not installed, is another version, or lacks a part of the released one.
    """
    try:
        check_version(importlib.metadata.version("scoop"))
    except importlib.metadata.PackageNotFoundError:
        raise missing_library("scoop", "scoop", "pip install 'hpcml[scoop]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes such as "\d", which Python 3.12 warns of
        library = _import()
    check_parts(library)
    # Logger.warn is deprecated, and SCOOP calls it.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"scoop\.")
    return library


def _import() -> Any:
    import scoop
    from scoop import _control, _types, encapsulation, futures, shared, utils
    from scoop._comm import scoopzmq
    from scoop.broker import brokerzmq, structs

    return SimpleNamespace(
        scoop=scoop,
        control=_control,
        types=_types,
        encapsulation=encapsulation,
        futures=futures,
        shared=shared,
        utils=utils,
        comm=scoopzmq,
        broker=brokerzmq,
        structs=structs,
    )
