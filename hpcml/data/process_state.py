"""State that a script can change around its tasks while a Cluster is open, and its way to the workers.

Working directory, environment, ``sys.path``, ``sys.argv``, umask, and the key of multiprocessing (for managers).
The driver packs them anew when something has changed; each frame carries the pack, and a worker that has seen
another adopts what is different. The variables of a worker's slot stay as they are, unless the script sets them.
"""

import contextlib
import os
import pickle
import sys
from collections.abc import Mapping
from multiprocessing import process
from typing import Any, NamedTuple

from hpcml.errors import HpcmlError

__all__ = ["ScriptState", "adopt_script_state", "set_start_state"]


class _State(NamedTuple):
    """``changes`` are those of the environment since the workers were started; None for what is gone."""

    directory: str = ""
    moved: bool = False  # it is not that in which the workers were started
    umask: int | None = None
    path: tuple[Any, ...] = ()
    argv: tuple[Any, ...] = ()
    authkey: bytes = b""
    changes: Mapping[str, str | None] = {}


class ScriptState:
    """The driver's side.

    Parameters
    ----------
    directory, environment
        Those with which the workers are started.
    """

    def __init__(self, directory: str, environment: Mapping[str, str]) -> None:
        self._base_directory = directory
        self._base = dict(environment)
        self._directory = directory
        self._seen: tuple[Any, ...] = ()
        self._variables: dict[bytes, bytes] = {}
        self._packed = b""
        self._status = -1
        self._process = 0

    def pack(self) -> bytes:
        """Return what is so now: the same bytes as before while nothing has changed."""
        with contextlib.suppress(OSError):  # it has been removed
            self._directory = os.getcwd()
        key = bytes(process.current_process().authkey)
        seen = (self._directory, self._umask(), tuple(sys.path), tuple(sys.argv), key)
        variables: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # a copy costs 50 times as much
        if seen != self._seen or variables != self._variables:
            variables = dict(variables)
            self._packed = self._pack(*seen)
            self._variables, self._seen = variables, seen  # after the pack: another thread may ask meanwhile
        return self._packed

    def _pack(self, directory: str, *others: Any) -> bytes:
        changes: dict[str, str | None] = {
            name: value for name, value in os.environ.copy().items() if self._base.get(name) != value
        }
        changes |= dict.fromkeys(self._base.keys() - os.environ.keys())
        state = (directory, directory != self._base_directory, *others, changes)
        return pickle.dumps(state, pickle.HIGHEST_PROTOCOL)

    def _umask(self) -> int | None:
        """Return the mask of this process, without setting it: other threads make files (proc(5), Linux 4.7)."""
        try:
            if self._process != os.getpid():
                self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
                self._process = os.getpid()
            _, _, rest = os.pread(self._status, 256, 0).partition(b"\nUmask:")
            return int(rest.split(None, 1)[0], 8)
        except (OSError, ValueError, IndexError):
            return None

    def close(self) -> None:
        """Close what this holds open."""
        if self._process == os.getpid():
            os.close(self._status)
            self._process = 0


_adopted, _packed = _State(), b""
_own: dict[str, str] = {}  # the environment of this worker without the script's changes
_home = ""


def set_start_state(directory: str, environment: Mapping[str, str]) -> None:
    """Give this worker the directory and environment that the workers of its run start with.

    One that replaces another is started by a script that may have changed its own since.
    """
    with contextlib.suppress(OSError):
        os.chdir(directory)
    for name in os.environ.keys() | environment.keys():
        _set_variable(name, environment.get(name))


def adopt_script_state(packed: bytes) -> HpcmlError | None:
    """Adopt the script's surroundings, where they are others than before; return why a task cannot have them."""
    global _adopted, _packed, _home  # noqa: PLW0603  a frame is compared with the one before
    if packed == _packed:
        return None
    if not _home:
        _own.update(os.environ)
        with contextlib.suppress(OSError):
            _home = os.getcwd()
    state = _State(*pickle.loads(packed))
    try:
        _move(state)
    except OSError as error:
        return HpcmlError(
            f"the script's working directory, {state.directory}, cannot be entered on {os.uname().nodename}: "
            f"{error.strerror}. Change to a directory that all nodes share"
        )
    if state.umask is not None and state.umask != _adopted.umask:
        os.umask(state.umask)
    if state.path != _adopted.path:
        sys.path[:] = [*state.path, *(entry for entry in sys.path if entry not in state.path)]
    if state.argv != _adopted.argv:
        sys.argv[:] = state.argv
    process.current_process().authkey = state.authkey
    _change_variables(_adopted.changes, state.changes)
    _adopted, _packed = state, packed
    return None


def _move(state: _State) -> None:
    """Change to the script's directory when that has changed."""
    if state.directory == _adopted.directory or not (state.moved or _adopted.moved):
        return
    try:
        os.chdir(state.directory)
    except OSError:
        if state.moved:
            raise
        os.chdir(_home)  # that of the start was never there


def _change_variables(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> None:
    """Set what the script has changed since; what a task has set stays."""
    for name in before.keys() | after.keys():
        value = after[name] if name in after else _own.get(name)
        if name not in after or name not in before or before[name] != value:
            _set_variable(name, value)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    elif os.environ.get(name) != value:
        os.environ[name] = value
