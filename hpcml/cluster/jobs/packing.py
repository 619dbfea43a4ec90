"""Calls of a job, packed into the files of its folder: large content once, however many calls refer to it."""

import os
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from hpcml.data.call_data import CallData
from hpcml.data.callbacks import send_callbacks
from hpcml.data.envelope import name_of
from hpcml.data.packed import Packed, Referring
from hpcml.data.packing import Called, CallPacker
from hpcml.data.process_state import ScriptState
from hpcml.data.staging.file_system import failure_reason, write_file
from hpcml.data.staging.store import Parts, Store
from hpcml.errors import DataError
from hpcml.journal.call_keys import CallKeys

__all__ = ["FolderStaging", "PackedCall", "PackedCalls", "load_call", "pack_call", "pack_calls", "script_state"]

MAX_NBYTES = 1 << 20  # as in hpcml.Cluster: larger content is a file of its own


class FolderStaging:
    """Staging into a directory that all nodes share: a file whose name is the digest of its content stays there.

    See `hpcml.data.staging.store.Staging`.

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.cluster.jobs.packing import FolderStaging
    >>> with tempfile.TemporaryDirectory() as place:
    ...     path, _ = FolderStaging(Path(place)).put("75c37284-1a2b3c4d", [memoryview(b"hpcml")])
    ...     Path(path).name
    '75c37284'
    """

    distant = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Write a file, unless there is one of this content."""
        path = self._directory / name.rpartition("-")[0]
        nbytes = sum(part.nbytes for part in content)
        if path.exists() and path.stat().st_size == nbytes:
            return str(path), ""
        temporary = f"{path}-{name.rpartition('-')[2]}"
        try:
            write_file(temporary, content)
            os.replace(temporary, path)
        except OSError as error:
            raise DataError(
                f"{nbytes:,} bytes for a job cannot be written to {self._directory}: {failure_reason(error)}"
            ) from error
        return str(path), ""

    def put_again(self, path: str) -> None:
        """Raise DataError: the data of jobs stays until a user removes the file."""
        raise DataError(f"{path} was removed while a job needed it: submit the job again")

    def remove(self, path: str) -> None:
        """Keep the file: jobs that wait need it."""


class PackedCall(NamedTuple):
    """A function, its arguments, and the state of the script: directory, ``sys.path`` and ``sys.argv``."""

    function: Packed
    arguments: Packed | Referring
    state: bytes
    name: str


@dataclass(frozen=True)
class PackedCalls:
    """Calls of one function: their arguments, each pickled, and their keys, which are equal for equal calls."""

    function: Packed
    arguments: list[bytes]
    keys: list[str]
    state: bytes
    name: str

    def only(self, numbers: Sequence[int]) -> "PackedCalls":
        """Return some of the calls, by their numbers."""
        arguments = [self.arguments[number] for number in numbers]
        return replace(self, arguments=arguments, keys=[self.keys[number] for number in numbers])


def script_state(environment: Mapping[str, str]) -> bytes:
    """Return the packed state of this process, for `hpcml.data.process_state.adopt_script_state`.

    The job starts with `environment`, so that only later changes are in the state.
    """
    state = ScriptState(os.getcwd(), environment)
    try:
        return state.pack()
    finally:
        state.close()


def pack_call(fn: Callable[..., Any], args: Sequence[Any], data: Path, state: bytes) -> bytes:
    """Return the pickle of a `PackedCall`, whose large content is in the directory `data`.

    ``state`` is what `script_state` returns.

    Raises
    ------
    TaskError
        A part cannot be pickled; the message names the object.
    DataError
        There is no room for the content.
    """
    call_data = _call_data(data)
    name = name_of(fn)
    function, arguments = CallPacker(call_data).pack(Called(fn, name, 1, True), args, {})
    call_data.stage()
    return pickle.dumps(tuple(PackedCall(function, arguments, state, name)), pickle.HIGHEST_PROTOCOL)


def load_call(content: bytes) -> PackedCall:
    """Return the call that `pack_call` has packed."""
    return PackedCall(*pickle.loads(content))


def pack_calls(fn: Callable[..., Any], calls: Iterable[Sequence[Any]], data: Path, state: bytes) -> PackedCalls:
    """Return calls of one function, each with its own arguments; see `pack_call`."""
    call_data = _call_data(data)
    packer, keys = CallPacker(call_data), CallKeys(call_data.digests)
    name = name_of(fn)
    called = Called(fn, name, 1, True)
    function: Packed = b""
    arguments, found = [], []
    uses: dict[str, int] = {}
    of_function = None
    for args in calls:
        call_data.digests.forget()
        try:
            of_function = of_function or keys.object_digest(fn)
            key = keys.call_digest(of_function, args, {}).digest
        except Exception:  # it has no key, so that it runs again; packing reports what cannot be pickled
            key = ""
        uses[key] = uses.get(key, 0) + 1
        found.append(f"{key}.{uses[key]}" if key else "")
        function, packed = packer.pack(called, args, {})
        call_data.stage()
        arguments.append(pickle.dumps(packed, pickle.HIGHEST_PROTOCOL))
    return PackedCalls(function, arguments, found, state, name)


def _call_data(data: Path) -> CallData:
    send_callbacks()
    # Private: a job has its content for itself, and may write to it as a plain program may.
    return CallData(Store(FolderStaging(data)), MAX_NBYTES, private=True)
