"""Files of a checkpoint: written with their digests, and compared with these before anything in them is used."""

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcml.journal.private_files import open_private, write_new
from hpcml.training.checkpoints.values import Array

__all__ = [
    "Digests",
    "digests_of",
    "read_arrays",
    "whole_files",
    "write_arrays",
    "write_json",
]

Digests = dict[str, tuple[str, int]]
"""SHA-256 and bytes of files, by their paths below the directory of a version."""


def write_arrays(path: Path, arrays: Iterable[Array]) -> tuple[str, int]:
    """Make a file of arrays, one after the other as `numpy.save` writes each; return its SHA-256 and bytes.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hpcml.training.checkpoints.files import read_arrays, write_arrays
    >>> with tempfile.TemporaryDirectory() as place:
    ...     path = pathlib.Path(place) / "state.npy"
    ...     _, nbytes = write_arrays(path, [np.arange(3), np.ones((1, 2))])
    ...     read_arrays(path)
    [array([0, 1, 2]), array([[1., 1.]])]
    """
    buffers: list[Any] = []
    for array in arrays:
        ordered = array if array.flags.c_contiguous or array.flags.f_contiguous else np.ascontiguousarray(array)
        buffers.append(_header(ordered))
        if ordered.nbytes:
            flat = ordered.reshape(-1, order="C" if ordered.flags.c_contiguous else "F")
            buffers.append(memoryview(flat.view(np.uint8)))  # type: ignore[arg-type]
    return _write_hashed(path, buffers)


def _write_hashed(path: Path, buffers: Sequence[Any]) -> tuple[str, int]:
    """Make a file of buffers, and hash them in a thread meanwhile."""
    found = hashlib.sha256()

    def _update() -> None:
        for buffer in buffers:
            found.update(buffer)

    hashing = threading.Thread(target=_update, name="hpcml digest")
    with open(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb", buffering=0) as file:
        try:
            hashing.start()
        except RuntimeError:  # Python is ending, and starts no thread
            _update()
        try:
            for buffer in buffers:
                left = memoryview(buffer)
                while left:  # an unbuffered file may take less than it is given
                    left = left[file.write(left) :]
            os.fsync(file.fileno())
        finally:
            if hashing.ident is not None:
                hashing.join()
    return found.hexdigest(), sum(map(len, buffers))


def write_json(path: Path, value: Any) -> tuple[str, int]:
    """Make a file with a value as JSON; return its SHA-256 and bytes."""
    content = json.dumps(value).encode()
    write_new(path, content)
    return hashlib.sha256(content).hexdigest(), len(content)


def _header(array: Array) -> bytes:
    """Return the header of an array in the format of `numpy.save`, version 1.0, or 2.0 where it is long."""
    header = io.BytesIO()
    about = np.lib.format.header_data_from_array_1_0(array)
    try:
        np.lib.format.write_array_header_1_0(header, about)
    except ValueError:
        np.lib.format.write_array_header_2_0(header, about)
    return header.getvalue()


def read_arrays(path: Path) -> list[Array]:
    """Return the arrays that `write_arrays` has written."""
    arrays = []
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        while file.tell() < end:
            arrays.append(np.lib.format.read_array(file, allow_pickle=False, max_header_size=1 << 16))
    return arrays


def digests_of(directory: Path, names: Sequence[str]) -> Digests:
    """Return SHA-256 and bytes of files that another library has written, and bring these to the disk."""
    found: Digests = {}
    for name in names:
        with open(directory / name, "rb") as file:
            os.fsync(file.fileno())
            found[name] = (hashlib.file_digest(file, "sha256").hexdigest(), file.tell())
    return found


def whole_files(directory: Path, digests: Mapping[str, Sequence[Any]]) -> str:
    """Return "" if files are as they were written, else a sentence about the first that is not."""
    for name, (digest, nbytes) in digests.items():
        try:
            with open(directory / name, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size != nbytes:
                    return f"{name} has {size} bytes of {nbytes}"
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return f"the SHA-256 of {name} is not that of the manifest"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return ""
