"""Writable file maps (`numpy.memmap`): a task is sent the name of the file, and opens the file itself.

What a task writes is then in the file, as joblib documents for shared output (`joblib._memmapping_reducer`). A map
that cannot be written, or of mode "c", is content like any other array.

The file of another node may be another file of that name: a memory file system or a local disk is never that of
two nodes, and elsewhere inode and length must be equal. A map that comes from another node is flushed after each
task: a network file system promises no more than that.
"""

import functools
import mmap
import os
import socket
import weakref
from typing import Any, NamedTuple

import numpy

from hpcml.errors import DataError, TaskError

__all__ = [
    "MappedFile",
    "flush_maps",
    "is_copy_on_write",
    "is_file_map",
    "is_masked_map",
    "open_view",
    "reduce_map",
    "reduce_own_map",
    "reduce_read_only",
    "refuse_map",
]

LOCAL = {"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "vfat", "xfs", "zfs"}

Layout = tuple[Any, tuple[int, ...], int, tuple[int, ...]]  # type, shape, where the first element is, strides

_far: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()  # maps of files of another computer


class MappedFile(NamedTuple):
    """The file of a map, and what tells it from another file of that name.

    Parameters
    ----------
    path
        Its absolute name.
    kernel, device, inode, nbytes
        Which kernel has it open (all processes with one page cache), its number there (stat(2)), and its length.
    """

    path: str
    kernel: str
    device: int
    inode: int
    nbytes: int


def _map_of(array: Any) -> Any:
    """Return the memmap whose memory an array is a view of, None where there is none."""
    while isinstance(array, numpy.ndarray):
        if isinstance(array.base, mmap.mmap):
            return array if isinstance(array, numpy.memmap) else None
        array = array.base
    return None


def is_file_map(array: Any) -> bool:
    """Tell whether what is written to an array is written to a file.

    Examples
    --------
    >>> import numpy, tempfile
    >>> from hpcml.data.file_maps import is_file_map
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     out = numpy.memmap(file.name, mode="w+", shape=(4,))
    ...     is_file_map(out), is_file_map(numpy.asarray(out)[1:]), is_file_map(out.copy())
    (True, True, False)
    """
    if isinstance(array, numpy.ma.MaskedArray):  # its data is
        return False
    source = _map_of(array) if array.flags.writeable and array.nbytes else None
    return source is not None and source.mode != "c"


def is_masked_map(array: Any) -> bool:
    """Tell whether an array is a masked array whose data is a map that can be written."""
    return isinstance(array, numpy.ma.MaskedArray) and is_file_map(array.data)


def refuse_map(array: Any) -> Any:
    """Return `array`, unless tasks may write to its file: only to run such a task makes what it writes.

    Raises
    ------
    TypeError
        It is a map that can be written.
    """
    if is_file_map(array):
        raise TypeError(
            "what is sent has a writable numpy.memmap, and the task may write to its file. Where tasks only read "
            "the file, open it with mode='r'"
        )
    return array


def is_copy_on_write(array: Any) -> bool:
    """Tell whether an array is of a map of mode "c": it may be written, and its file stays as it is."""
    source = _map_of(array) if array.flags.writeable else None
    return source is not None and source.mode == "c"


def reduce_map(array: Any, flush: bool) -> tuple[Any, ...]:
    """Return how a pickle opens a writable map, or a view of one, with all its dimensions and strides.

    Parameters
    ----------
    flush
        Write to the file first what this process has written to the map.

    Raises
    ------
    TaskError
        The file has no name, or is there no more.
    """
    source = _map_of(array)
    file = getattr(source, "hpcml_file", None) or _identify(source)
    if flush:
        source.flush()
    plain = numpy.asarray(array)
    ends = [(size - 1) * stride for size, stride in zip(plain.shape, plain.strides, strict=True)]
    before, after = -sum(end for end in ends if end < 0), sum(end for end in ends if end > 0) + plain.itemsize
    offset = source.offset + _address(plain) - _address(source) - before
    layout = (plain.dtype, plain.shape, before, plain.strides)
    return open_view, (file, offset, before + after, layout, type(array))


def _address(array: Any) -> int:
    start: int = array.__array_interface__["data"][0]
    return start


def _identify(source: Any) -> MappedFile:
    if source.filename is None:
        raise TaskError(
            "a writable numpy.memmap of a file without a name cannot be sent: a task could not open the file. "
            "Give the file a name, or send a copy: numpy.array(…)"
        )
    path = os.path.abspath(source.filename)
    try:
        found = os.stat(path)
    except OSError as error:
        raise TaskError(
            f"the file of a writable numpy.memmap, {path}, cannot be opened by a task: {error.strerror}"
        ) from error
    return MappedFile(path, _kernel(), found.st_dev, found.st_ino, found.st_size)


@functools.cache
def _kernel() -> str:
    """Return what is the same in all processes that share a page cache, and in no others."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def open_view(
    file: MappedFile, offset: int, nbytes: int, layout: Layout, kind: Any
) -> Any:
    """Return an array over `nbytes` of a file from `offset` on; `kind` is its type.

    Raises
    ------
    DataError
        This node has not the file, or has another of that name.
    """
    _check(file)
    try:
        source: Any = numpy.memmap(file.path, numpy.uint8, "r+", offset, (nbytes,))
    except OSError as error:
        raise DataError(f"{file.path} cannot be mapped on {socket.gethostname()}: {error.strerror}") from error
    source.hpcml_file = file
    if file.kernel != _kernel():
        _far[id(source)] = source
    dtype, shape, start, strides = layout
    if kind is not numpy.memmap:
        plain: Any = numpy.ndarray(shape, dtype, source, start, strides)
        return plain if kind is numpy.ndarray else plain.view(kind)
    view: Any = numpy.ndarray.__new__(numpy.memmap, shape, dtype, source, start, strides)
    view._mmap, view.filename, view.offset, view.mode = source._mmap, source.filename, offset + start, "r+"
    return view


def _check(file: MappedFile) -> None:
    """Raise DataError unless the file is there, and is the one that was meant."""
    here = socket.gethostname()
    advice = (
        "Tasks write to a numpy.memmap of mode 'r+' or 'w+' through its file: put the file into a directory that "
        "all nodes share. Where tasks only read it, open it with mode='r': its content is then sent to each node"
    )
    try:
        found = os.stat(file.path)
    except OSError as error:
        raise DataError(f"{file.path} is not on {here}: {error.strerror}. {advice}") from error
    same = file.inode == found.st_ino
    if file.kernel != _kernel() or file.device != found.st_dev:
        same = same and file.nbytes == found.st_size and _type(found.st_dev) not in LOCAL
    if not same:
        raise DataError(f"{file.path} is another file on {here} than where the driver runs. {advice}")
    if found.st_size < file.nbytes:
        raise DataError(f"{file.path} has {found.st_size:,} bytes on {here}, of {file.nbytes:,} that were mapped")


def _type(device: int) -> str:
    """Return the type of a mounted file system, "" where that is not known (proc_pid_mountinfo(5))."""
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == number:
                return fields[fields.index("-") + 1]
    return ""


def reduce_own_map(array: Any) -> tuple[Any, ...]:
    """Return how the pickle of a result opens a map; a task's own file may not be there for the driver."""
    if hasattr(_map_of(array), "hpcml_file"):  # the driver has named the file
        return reduce_map(array, flush=False)
    content = numpy.array(array, subok=False)
    try:
        opened = reduce_map(array, flush=False)[1]
    except TaskError:  # the task has removed it
        return numpy.asarray, (content,)
    return _returned_view, (content, opened)


def flush_maps() -> None:
    """Write to their files what this process has written to maps of files that another computer has named."""
    for source in list(_far.values()):
        source.flush()


def reduce_read_only(array: Any, reduced: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """Return how a pickle builds an array of a map that is read-only: as `reduced`, None: from a copy."""
    return _read_only, reduced or (numpy.asanyarray, (numpy.array(array, subok=True),))


def _read_only(build: Any, parts: tuple[Any, ...]) -> Any:
    array = build(*parts)
    array.flags.writeable = False
    return array


def _returned_view(content: Any, opened: tuple[Any, ...]) -> Any:
    """Return a view of the file that a task has mapped by itself, or where that differs from `content`, that.

    The driver may not see the file, and the file may have changed since: results that are recalled are old.
    """
    try:
        view = open_view(*opened)
    except DataError:
        return content
    return view if view.tobytes() == content.tobytes() else content
