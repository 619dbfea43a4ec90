"""File maps that write to their file (`numpy.memmap`): a task receives the file's name and opens the file itself.

The output of a task is then in the file, as joblib documents for shared output (`joblib._memmapping_reducer`). All
other maps are content; see `hpcml.data.map_modes`.

The same name may be another file on another node. A memory file system or a local disk is never that of two nodes;
on any other file system, inode and length must be equal. A map that comes from another node is flushed after each
task: a network file system promises no more than that.

Recorded results hold the names of this module and of `MappedFile`, `open_view` and `_returned_view`.
"""

import functools
import os
import socket
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from hpcml.data.map_modes import map_of
from hpcml.errors import DataError, TaskError

__all__ = ["MappedFile", "flush_maps", "open_view", "reduce_map", "reduce_read_only", "reduce_returned_map"]

LOCAL_FILE_SYSTEMS = {"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "vfat", "xfs", "zfs"}

Layout = tuple[numpy.dtype[Any], tuple[int, ...], int, tuple[int, ...]]
"""Type of the elements, shape, offset of the first element, and strides."""

# Maps that were sent from another computer, by their id.
_distant: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()


class MappedFile(NamedTuple):
    """The file of a map, and its marks among files of the same name.

    Parameters
    ----------
    path
        Absolute name.
    kernel
        The kernel that has the file open: all processes with one page cache.
    device, inode
        Numbers of the file in this kernel; see stat(2).
    nbytes
        Length.
    """

    path: str
    kernel: str
    device: int
    inode: int
    nbytes: int


def reduce_map(array: NDArray[Any], flush: bool) -> tuple[Any, ...]:
    """Return the reduction of a writable map, or of a view of one, with all its dimensions and strides.

    Parameters
    ----------
    flush
        Flush the map first: a process on another node then reads from the file the changes of this process.

    Raises
    ------
    TaskError
        The file has no name, or no longer exists.
    """
    source = map_of(array)
    file = getattr(source, "hpcml_file", None) or _identify(source)
    if flush:
        source.flush()
    plain = numpy.asarray(array)
    ends = [(size - 1) * stride for size, stride in zip(plain.shape, plain.strides, strict=True)]
    before = -sum(end for end in ends if end < 0)
    after = sum(end for end in ends if end > 0) + plain.itemsize
    offset = source.offset + _address(plain) - _address(source) - before
    layout = (plain.dtype, plain.shape, before, plain.strides)
    return open_view, (file, offset, before + after, layout, type(array))


def _address(array: NDArray[Any]) -> int:
    start: int = array.__array_interface__["data"][0]
    return start


def _identify(source: Any) -> MappedFile:
    """Return the file of a map that this process has opened."""
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
    """Return a name of the running kernel: the same in all processes that share a page cache, and in no others."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def open_view(
    file: MappedFile, offset: int, nbytes: int, layout: Layout, kind: type[NDArray[Any]]
) -> NDArray[Any]:
    """Return an array over `nbytes` of a file from `offset` on; `kind` is its type.

    Raises
    ------
    DataError
        The file does not exist on this node, or is another file of that name.
    """
    _check_same_file(file)
    try:
        source: Any = numpy.memmap(file.path, numpy.uint8, "r+", offset, (nbytes,))
    except OSError as error:
        raise DataError(f"{file.path} cannot be mapped on {socket.gethostname()}: {error.strerror}") from error
    source.hpcml_file = file
    if file.kernel != _kernel():
        _distant[id(source)] = source
    dtype, shape, start, strides = layout
    if kind is not numpy.memmap:
        plain: NDArray[Any] = numpy.ndarray(shape, dtype, source, start, strides)
        return plain if kind is numpy.ndarray else plain.view(kind)
    view = numpy.ndarray.__new__(numpy.memmap, shape, dtype, source, start, strides)
    view._mmap = source._mmap  # type: ignore[attr-defined]
    view.filename = source.filename
    view.offset = offset + start
    view.mode = "r+"
    return view


def _check_same_file(file: MappedFile) -> None:
    """Raise DataError unless the name leads to the same file here, and the file is as long as it was."""
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
        same = same and file.nbytes == found.st_size and _file_system(found.st_dev) not in LOCAL_FILE_SYSTEMS
    if not same:
        raise DataError(f"{file.path} is another file on {here} than where the driver runs. {advice}")
    if found.st_size < file.nbytes:
        raise DataError(f"{file.path} has {found.st_size:,} bytes on {here}, of {file.nbytes:,} that were mapped")


def _file_system(device: int) -> str:
    """Return the type of the mounted file system with this device number, "" for none (proc_pid_mountinfo(5))."""
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == number:
                return fields[fields.index("-") + 1]
    return ""


def reduce_returned_map(array: NDArray[Any]) -> tuple[Any, ...]:
    """Return the reduction of a map in a result.

    A file that the task has made itself may not exist for the driver: the content is sent as well.
    """
    if hasattr(map_of(array), "hpcml_file"):  # the driver has sent the file's name
        return reduce_map(array, flush=False)
    content = numpy.array(array, subok=False)
    try:
        opened = reduce_map(array, flush=False)[1]
    except TaskError:  # the task has removed the file
        return numpy.asarray, (content,)
    return _returned_view, (content, opened)


def flush_maps() -> None:
    """Flush the maps of files whose names were sent from another computer."""
    for source in list(_distant.values()):
        source.flush()


def reduce_read_only(array: NDArray[Any], reduced: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """Return the reduction of an array that stays read-only.

    Parameters
    ----------
    reduced
        The reduction of the array as a writable one; None: from a copy.
    """
    return _read_only, reduced or (numpy.asanyarray, (numpy.array(array, subok=True),))


def _read_only(build: Callable[..., NDArray[Any]], parts: tuple[Any, ...]) -> NDArray[Any]:
    array = build(*parts)
    array.flags.writeable = False
    return array


def _returned_view(content: NDArray[Any], opened: tuple[Any, ...]) -> NDArray[Any]:
    """Return a view of the file that a task has mapped by itself; `content` where the file differs from that.

    The driver may not see the file, and the file may have changed since: recorded results are old.
    """
    try:
        view = open_view(*opened)
    except DataError:
        return content
    return view if view.tobytes() == content.tobytes() else content
