"""Records of a journal. They are read also from a file that was cut off, is damaged, or is being written.

::

    header   "hpcml journal 1\\n" · 16 random bytes · MAC
    record   mark · length of the payload · CRC-32 of the payload · MAC · payload · newline
    payload  one line of JSON, the head · newline · the body: any bytes

The MAC is keyed BLAKE2b of 128 bits (RFC 7693) over the journal's random bytes, the record's place in the file
and the payload: no record can be forged, changed, moved or taken from another journal. The payload of a record is
read only after its MAC is verified.
"""

import hashlib
import json
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hpcml.errors import HpcmlError

__all__ = ["Damage", "JournalReader", "Record", "new_header", "pack_record"]

# +--------------------------------------------------------------------------------------------------+
# | Raise the number when a record changes, or a module moves whose objects are in pickled results.    |
# | A file with another number is refused with a message, and never misread.                           |
# +--------------------------------------------------------------------------------------------------+
TITLE = b"hpcml journal 2\n"
NONCE_BYTES = 16
MAC_BYTES = 16
HEADER_BYTES = len(TITLE) + NONCE_BYTES + MAC_BYTES
MARK = b"\x00hjr"
PREFIX = struct.Struct(f"<4sQI{MAC_BYTES}s")
SEARCH_BYTES = 1 << 20  # that are searched at once for the next mark


class Record(NamedTuple):
    """A record: its head, and the place of its body in the file.

    ``offset`` and ``nbytes`` are those of the body; the record itself begins at ``start``.
    """

    head: dict[str, Any]
    offset: int
    nbytes: int
    start: int = 0


class Damage(NamedTuple):
    """A stretch of a journal that holds no authentic record.

    ``tail``: no record follows it. ``torn``: it can be the beginning of a record whose writing was cut off.
    """

    offset: int
    nbytes: int
    tail: bool
    torn: bool = False


def _mac(key: bytes, *parts: bytes | memoryview) -> bytes:
    state = hashlib.blake2b(key=key, digest_size=MAC_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


def new_header(key: bytes) -> bytes:
    """Return the header of a new journal."""
    start = TITLE + secrets.token_bytes(NONCE_BYTES)
    return start + _mac(key, start)


def pack_record(key: bytes, nonce: bytes, offset: int, head: bytes, body: bytes | memoryview) -> bytes:
    """Return the bytes of a record that begins at `offset`, without its `body` and the newline after that."""
    line = head + b"\n"
    prefix = PREFIX.pack(
        MARK,
        len(line) + len(body),
        zlib.crc32(body, zlib.crc32(line)),
        _mac(key, nonce, offset.to_bytes(8, "little"), line, body),
    )
    return prefix + line


class JournalReader:
    """Reads the records of a journal, also while it is being written.

    Parameters
    ----------
    descriptor
        The file, open for reading; the caller closes it.
    key
        The run's key.

    Raises
    ------
    HpcmlError
        The file is no journal, is of another version, or was written with another key.
    """

    def __init__(self, descriptor: int, key: bytes, path: Path) -> None:
        self._descriptor = descriptor
        self._key = key
        self._path = path
        self.size = os.fstat(descriptor).st_size
        header = self._read(0, HEADER_BYTES)
        self.nonce = header[len(TITLE) : -MAC_BYTES]
        if not header.startswith(TITLE):
            raise HpcmlError(f"{path} is not a journal that this version of hpcml can read: start a new run")
        if header[-MAC_BYTES:] != _mac(key, header[:-MAC_BYTES]):
            raise HpcmlError(f"{path} was not written with the key of this run, or was changed: start a new run")
        self.end = HEADER_BYTES  # of the last authentic record

    def _read(self, offset: int, nbytes: int) -> bytes:
        parts = []
        while nbytes > 0 and (part := os.pread(self._descriptor, nbytes, offset)):
            parts.append(part)
            offset += len(part)
            nbytes -= len(part)
        return b"".join(parts)

    def new_items(self) -> Iterator[Record | Damage]:
        """Yield the items that were appended after the last authentic record that was read."""
        self.size = os.fstat(self._descriptor).st_size
        return self.items(self.end)

    def items(self, start: int = HEADER_BYTES) -> Iterator[Record | Damage]:
        """Yield the records from `start` on, in order, and the damages between or after them."""
        offset = start
        while offset < self.size:
            found = self._record(offset)
            if found is None:
                after = self._find_authentic(offset + 1)
                if after is None:
                    yield Damage(offset, self.size - offset, True, self._is_torn(offset))
                    return
                yield Damage(offset, after - offset, False)
                offset = after
                continue
            record, offset = found
            self.end = offset
            yield record

    def _payload(self, offset: int) -> memoryview | None:
        """Return the payload of the record at `offset`; None when there is no authentic record."""
        prefix = self._read(offset, PREFIX.size)
        if len(prefix) < PREFIX.size:
            return None
        mark, length, checksum, mac = PREFIX.unpack(prefix)
        start = offset + PREFIX.size
        if mark != MARK or length >= self.size - start:
            return None
        whole = self._read(start, length + 1)
        payload = memoryview(whole)[:length]
        if len(whole) != length + 1 or whole[-1:] != b"\n" or zlib.crc32(payload) != checksum:
            return None
        authentic = _mac(self._key, self.nonce, offset.to_bytes(8, "little"), payload) == mac
        return payload if authentic else None

    def _record(self, offset: int) -> tuple[Record, int] | None:
        """Return the record at `offset` and its end; None when there is no authentic record."""
        payload = self._payload(offset)
        if payload is None:
            return None
        # `obj` is the bytes of which the payload is a view.
        line = payload.obj.index(b"\n") + 1  # type: ignore[attr-defined]
        start = offset + PREFIX.size
        head = json.loads(bytes(payload[:line]))
        return Record(head, start + line, len(payload) - line, offset), start + len(payload) + 1

    def _is_torn(self, offset: int) -> bool:
        """Return whether the end of the file is a record without its own end."""
        prefix = self._read(offset, PREFIX.size)
        if len(prefix) < PREFIX.size:
            return MARK.startswith(prefix[: len(MARK)])
        mark, length = PREFIX.unpack(prefix)[:2]
        return bool(mark == MARK and length >= self.size - offset - PREFIX.size)

    def _find_authentic(self, offset: int) -> int | None:
        """Return the offset of the next authentic record; None when there is none."""
        while offset < self.size:
            block = self._read(offset, SEARCH_BYTES)
            found = block.find(MARK)
            if found < 0:
                offset += max(len(block) - len(MARK) + 1, 1)
            elif self._record(offset + found) is not None:
                return offset + found
            else:
                offset += found + 1
        return None

    def body(self, record: Record) -> bytes:
        """Return the body of a record.

        Raises
        ------
        HpcmlError
            The record has changed since it was read first.
        """
        payload = self._payload(record.start)
        if payload is None:
            raise HpcmlError(f"{self._path} was changed at byte {record.start} while it was in use")
        return bytes(payload[len(payload) - record.nbytes :])
