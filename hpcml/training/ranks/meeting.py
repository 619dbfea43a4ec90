"""Address of rank 0, passed to the other ranks through files of a directory that all nodes share.

::

    rank 3      3.<number of 16 digits> ───────────> rank 0
    rank 0      3.<number of 16 digits>.answer ────> rank 3, which removes both files

The number is new for each start of a rank, so an answer to an earlier start is never taken for one to this start.
"""

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import check_directory, read_private, refresh_names, write_atomic, write_new

__all__ = ["answer", "ask", "meeting_directory"]

SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 1.0  # seconds
MOST_NAMED = 5  # ranks in a message
_REQUEST = re.compile(r"([0-9]+)\.[0-9a-f]{16}")
_ADVICE = (
    "Each rank has to call hpcml.training.rank_env(), in one working directory on a file system that all nodes "
    "share; rank_env(timeout=…) waits longer"
)


def meeting_directory(base: Path, key: str) -> Path:
    """Return the directory for the ranks of the step `key`, mode 0700, which is made if it is missing.

    Raises
    ------
    HpcmlError
        The directory cannot be made, or is not this user's alone.
    """
    directory = (base / f"ranks-{key}").absolute()
    try:
        directory.parent.mkdir(mode=0o700, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise HpcmlError(
            f"the directory {directory}, in which ranks find each other, cannot be made: {error.strerror}. Start "
            "the step in a directory that you can write to, and that all nodes share: srun --chdir=…"
        ) from error
    check_directory(directory)
    return directory


def ask(base: Path, key: str, rank: int, timeout: float) -> str:
    """Return what rank 0 answers to this rank.

    Raises
    ------
    HpcmlError
        There is no answer within `timeout` seconds, or no directory.
    """
    request = _placed_request(base, key, f"{rank}.{secrets.token_hex(8)}")
    answered = _answer_to(request)
    began = time.monotonic()
    try:
        while not answered.exists():
            if time.monotonic() > began + timeout:
                raise HpcmlError(
                    f"rank 0 has not answered rank {rank} within {timeout:g} s: its file {answered} is missing. "
                    f"{_ADVICE}"
                )
            _wait(request.parent, began)
        return read_private(answered).decode()
    finally:
        request.unlink(missing_ok=True)
        answered.unlink(missing_ok=True)


def _wait(directory: Path, began: float) -> None:
    """Wait before the next look for files of other nodes: longer, the longer the wait has been."""
    time.sleep(min(SHORTEST_PAUSE + (time.monotonic() - began) / 8, LONGEST_PAUSE))
    refresh_names(directory)


def _placed_request(base: Path, key: str, name: str) -> Path:
    while True:
        request = meeting_directory(base, key) / name
        # Rank 0 of an earlier start may remove the empty directory at this moment.
        with contextlib.suppress(FileNotFoundError):
            write_new(request, b"")
            return request


def _answer_to(request: Path) -> Path:
    return request.with_name(f"{request.name}.answer")


def answer(base: Path, key: str, size: int, content: str, timeout: float) -> None:
    """Answer each of the other ranks with `content`, until all have taken their answers.

    Raises
    ------
    HpcmlError
        A rank does not ask within `timeout` seconds; the message names it.
    """
    directory = meeting_directory(base, key)
    answered: dict[int, list[Path]] = {rank: [] for rank in range(1, size)}
    waiting = set(answered)
    began = time.monotonic()
    try:
        while True:
            # Before the look at answers: the next start of a rank asks after this one has taken its answer.
            asking = _requests(directory)
            waiting -= {rank for rank in waiting if not all(_answer_to(one).exists() for one in answered[rank])}
            for rank, request in asking:
                if rank in waiting and request not in answered[rank]:
                    write_atomic(_answer_to(request), content.encode())
                    answered[rank].append(request)
            if not waiting:
                return
            if time.monotonic() > began + timeout:
                raise HpcmlError(_missing(directory, sorted(waiting), timeout))
            _wait(directory, began)
    finally:
        _remove(directory, [request for requests in answered.values() for request in requests])


def _requests(directory: Path) -> list[tuple[int, Path]]:
    matches = [(_REQUEST.fullmatch(name), name) for name in os.listdir(directory)]
    return [(int(match[1]), directory / name) for match, name in matches if match]


def _missing(directory: Path, ranks: list[int], timeout: float) -> str:
    more = f" and {len(ranks) - MOST_NAMED} more" if len(ranks) > MOST_NAMED else ""
    named = ", ".join(map(str, ranks[:MOST_NAMED])) + more
    return (
        f"ranks that took no answer within {timeout:g} s: {named}. The file {directory}/{ranks[0]}.<number> of "
        f"rank {ranks[0]} is missing, or that rank has ended. {_ADVICE}"
    )


def _remove(directory: Path, requests: list[Path]) -> None:
    """Remove the files of requests, also of those from earlier starts, and the directory if it is empty."""
    for request in requests:
        request.unlink(missing_ok=True)
        _answer_to(request).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()
