"""Libraries of the engines: their private names in one table, checked before the first use; encryption of zmq."""

import importlib
import logging
import sys

from hpcml.errors import EngineError

__all__ = [
    "SUPPORTED",
    "USED",
    "check_encryption",
    "check_object",
    "check_parts",
    "missing_library",
    "warn_of_old_encryption",
]

log = logging.getLogger("hpcml")

SUPPORTED = {"ipyparallel": ">= 9.0, < 10", "loky": ">= 3.4, < 4"}
"""Versions that have these interfaces (9.0.0 to 9.2.0; 3.4.0 to 3.7.0), as setup.cfg requires them."""

USED: dict[str, tuple[str, ...]] = {
    "ipyparallel.client.client:Client": (
        "_build_targets", "_closed", "_futures", "_handle_stranded_msgs", "_ids", "_io_loop",
        "_registration_callbacks", "_send", "_update_engines", "create_message_futures", "history", "metadata",
        "purge_local_results",
    ),
    "ipyparallel.client.client:Client()": ("_control_stream", "_mux_stream", "_query_stream", "session"),
    "ipyparallel.controller.app:IPController": (
        "broadcast_scheduler_depth", "client_info", "curve_publickey", "enable_curve", "engine_info", "location",
        "loop", "next_port", "session", "write_connection_files",
    ),
    "ipyparallel.controller.app:IPController()": ("hub",),
    "ipyparallel.controller.broadcast_scheduler:BroadcastScheduler": ("accumulated_targets", "send_to_targets"),
    "ipyparallel.controller.heartmonitor:HeartMonitor": ("max_heartmonitor_misses",),
    "ipyparallel.controller.hub:Hub": ("monitor", "query"),
    "ipyparallel.controller.hub:Hub()": ("query_handlers",),
    "ipyparallel.engine.app:IPEngine": (
        "_ensure_curve_keypair", "connection_info_env", "context", "curve_publickey", "curve_secretkey",
        "curve_serverkey", "enable_nanny", "id", "init_signal", "log", "max_heartbeat_misses", "redirect_output",
        "registration_url", "session", "timeout",
    ),
    "ipyparallel.engine.kernel:IPythonParallelKernel": (
        "_publish_status", "apply_request", "control_msg_types", "get_engine_info", "session", "set_parent",
        "shutdown_request",
    ),
    "loky.backend._posix_reduction": ("DupFd",),
    "loky.backend.context:LokyContext": ("Process",),
    "loky.backend.popen_loky_posix:Popen": ("_launch",),
    "loky.backend.process:LokyProcess": ("_Popen",),
    "loky.backend.resource_tracker": ("register", "unregister"),
    "loky.process_executor": ("_python_exit", "_threads_wakeups", "process_pool_executor_at_exit"),
    "loky.process_executor:ProcessPoolExecutor()": ("_processes",),
}  # fmt: skip
"""Modules and classes, and their names that are used or replaced; ``()``: those that only an instance has."""


def check_parts(package: str) -> None:
    """Import the modules of `package` that are in `USED`, and look for their names.

    Raises
    ------
    EngineError
        A module, a class or a name is missing: another version of the library has it elsewhere, or not at all.
    """
    for path in USED:
        if path.startswith(f"{package}.") and not path.endswith("()"):
            check_object(path, _find(path))


def _find(path: str) -> object:
    """Return the module or class of a path of `USED`."""
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):  # a library that this one needs
            raise
        raise EngineError(_missing(module)) from error
    if not name:
        return found
    if not hasattr(found, name):
        raise EngineError(_missing(f"{module}.{name}"))
    return getattr(found, name)


def missing_library(engine: str, library: str, command: str) -> EngineError:
    """Return the error for an engine whose library is not installed; `command` installs the library."""
    return EngineError(
        f"engine {engine!r} needs the library {library}, which {sys.executable} does not have: type `{command}`"
    )


def check_encryption(engine: str) -> None:
    """Raise EngineError where zmq cannot encrypt."""
    zmq = importlib.import_module("zmq")
    if not zmq.has("curve"):
        raise EngineError(
            f"engine {engine!r} needs encryption, and the zmq of {sys.executable} has no CURVE. Type "
            f"`{sys.executable} -m pip install --force-reinstall --only-binary pyzmq pyzmq`"
        )


def warn_of_old_encryption() -> None:
    """Warn of a libzmq whose encryption strangers can break."""
    version = importlib.import_module("zmq").zmq_version_info()
    if version < (4, 3, 3):
        log.warning(
            "libzmq %s has known holes for whoever can connect (CVE-2019-13132, CVE-2020-15166), unless your "
            "system's packager has closed them: type `%s -m pip install --upgrade pyzmq`",
            ".".join(map(str, version)),
            sys.executable,
        )


def check_object(path: str, found: object) -> None:
    """Raise EngineError where an object lacks a name that `USED` has for `path`."""
    for name in USED[path]:
        if not hasattr(found, name):
            raise EngineError(_missing(f"{path.replace(':', '.')}.{name}"))


def _missing(name: str) -> str:
    """Return the message for a private name that a library lacks."""
    from importlib import metadata

    library = name.partition(".")[0]
    try:
        version = metadata.version(library)
    except metadata.PackageNotFoundError:
        version = "of an unknown version"
    return (
        f"hpcml uses {name} of {library} {SUPPORTED[library]}, which {library} {version} of {sys.executable} "
        f"lacks: type `{sys.executable} -m pip install '{library} {SUPPORTED[library]}'`"
    )
