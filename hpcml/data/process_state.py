"""Process state that a script can change while a Cluster is open: packed in the driver, adopted by the workers.

Working directory, environment, ``sys.path``, ``sys.argv``, umask, and the key of multiprocessing (for managers).
The driver packs the state again when a part of it has changed. Each frame holds the packed state, and a worker
whose own is another adopts the differences. The variables of a worker's slot stay as they are, unless the script
sets them.
"""

import contextlib
import os
import pickle
import sys
from collections.abc import Mapping
from multiprocessing import process
from typing import NamedTuple

from hpcml.errors import HpcmlError

__all__ = ["ScriptState", "adopt_script_state", "set_start_state"]


class _State(NamedTuple):
    """State of a script.

    ``changes`` are those of the environment since the workers were started, None for a variable that was removed.
    """

    directory: str = ""
    moved: bool = False  # away from the directory in which the workers were started
    umask: int | None = None
    path: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    authkey: bytes = b""
    prefixes: tuple[str, str] = ("", "")  # of the script's Python, and of that which its environment was made with
    changes: Mapping[str, str | None] = {}


class ScriptState:
    """State of the script's process, for the workers.

    Parameters
    ----------
    directory, environment
        Working directory and environment with which the workers are started.
    """

    def __init__(self, directory: str, environment: Mapping[str, str]) -> None:
        self._base_directory = directory
        self._base = dict(environment)
        self._directory = directory
        self._seen: tuple[object, ...] = ()
        self._variables: dict[bytes, bytes] = {}
        self._packed = b""
        self._status = -1  # descriptor of /proc/self/status, opened by `_process`
        self._process = 0

    def pack(self) -> bytes:
        """Return the state as it is now: the same bytes as before while nothing has changed."""
        with contextlib.suppress(OSError):  # the directory has been removed
            self._directory = os.getcwd()
        key = bytes(process.current_process().authkey)
        prefixes = (sys.prefix, sys.base_prefix)
        seen = (self._directory, self._umask(), tuple(sys.path), tuple(sys.argv), key, prefixes)
        # Not os.environ.copy(), which takes 50 times as long.
        variables: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
        if seen != self._seen or variables != self._variables:
            variables = dict(variables)
            self._packed = self._pack(*seen)
            # Only now, after the pack: another thread may call this meanwhile.
            self._variables = variables
            self._seen = seen
        return self._packed

    def _pack(self, directory: str, *others: object) -> bytes:
        changes: dict[str, str | None] = {
            name: value for name, value in os.environ.copy().items() if self._base.get(name) != value
        }
        changes |= dict.fromkeys(self._base.keys() - os.environ.keys())
        state = (directory, directory != self._base_directory, *others, changes)
        return pickle.dumps(state, pickle.HIGHEST_PROTOCOL)

    def _umask(self) -> int | None:
        """Return the umask, read without setting it, as other threads make files (proc(5), from Linux 4.7 on)."""
        try:
            if self._process != os.getpid():
                self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
                self._process = os.getpid()
            _, _, rest = os.pread(self._status, 256, 0).partition(b"\nUmask:")
            return int(rest.split(None, 1)[0], 8)
        except (OSError, ValueError, IndexError):
            return None

    def close(self) -> None:
        """Close the file of proc(5)."""
        if self._process == os.getpid():
            os.close(self._status)
            self._process = 0


_adopted = _State()
_packed = b""
_own_environment: dict[str, str] = {}  # of this worker, without the script's changes
_start_directory = ""


def set_start_state(directory: str, environment: Mapping[str, str]) -> None:
    """Set the directory and the environment with which the workers of this run start.

    A worker that replaces another is started later, by a script that may have changed its own.
    """
    with contextlib.suppress(OSError):
        os.chdir(directory)
    for name in os.environ.keys() | environment.keys():
        _set_variable(name, environment.get(name))


def adopt_script_state(packed: bytes) -> HpcmlError | None:
    """Adopt the state of the script where it differs; return the error for a state that is impossible here."""
    global _adopted, _packed, _start_directory  # noqa: PLW0603  one state in a process
    if packed == _packed:
        return None
    if not _start_directory:
        _own_environment.update(os.environ)
        with contextlib.suppress(OSError):
            _start_directory = os.getcwd()
    state = _State(*pickle.loads(packed))
    try:
        _change_directory(state)
    except OSError as error:
        return HpcmlError(
            f"the script's working directory, {state.directory}, cannot be entered on {os.uname().nodename}: "
            f"{error.strerror}. Change to a directory that all nodes share"
        )
    if state.umask is not None and state.umask != _adopted.umask:
        os.umask(state.umask)
    if state.path != _adopted.path:
        path = [_here(entry, state.prefixes) for entry in state.path]
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
    if state.argv != _adopted.argv:
        sys.argv[:] = state.argv
    process.current_process().authkey = state.authkey
    _change_variables(_adopted.changes, state.changes)
    _adopted = state
    _packed = packed
    return None


def _here(entry: str, prefixes: tuple[str, str]) -> str:
    """Return an entry of the script's ``sys.path`` as it is here: this Python may be a copy of the script's."""
    for there, here in zip(prefixes, (sys.prefix, sys.base_prefix), strict=True):
        if there and there != here and entry.startswith(f"{there}/lib"):
            return here + entry.removeprefix(there)
    return entry


def _change_directory(state: _State) -> None:
    """Change to the script's directory if the script has changed it."""
    if state.directory == _adopted.directory or not (state.moved or _adopted.moved):
        return
    try:
        os.chdir(state.directory)
    except OSError:
        if state.moved:
            raise
        os.chdir(_start_directory)  # the script's first directory does not exist on this node


def _change_variables(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> None:
    """Set the variables that the script has changed since; variables that a task has set stay."""
    for name in before.keys() | after.keys():
        value = after[name] if name in after else _own_environment.get(name)
        if name not in after or name not in before or before[name] != value:
            _set_variable(name, value)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    elif os.environ.get(name) != value:
        os.environ[name] = value
