"""Folder of a job, or of an array of jobs, which the job and its driver share.

::

    .hpcml/jobs/                            mode 0700, all files 0600
        data/<digest>                       large content, once for all jobs with it
        <time>-<function>-<random>/
            call, or function, arguments    what runs, see `hpcml.cluster.jobs.packing`
            id-<number>                     a job of this folder: the count of its elements
            claims/, outcomes/              of an array, see `hpcml.cluster.jobs.claims`
            outcome                         of a single call
            output                          the path of the job's output, where the user has named another
            requeued-<number>               the job was put back in the queue at its time limit
            *.log                           output of the jobs

Everything in it is unpickled only after a check that it is this user's and closed to others.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from hpcml.errors import DataError, HpcmlError
from hpcml.journal.private_files import check_directory, read_private, refresh_names, write_atomic
from hpcml.journal.runs import new_run_dir

__all__ = ["JobFolder", "data_directory", "find_folder", "folder_label", "jobs_directory", "new_folder"]

ALL = Path("jobs")  # in the directory .hpcml


def jobs_directory(directory: Path) -> Path:
    """Return the path of the folders of all jobs that were submitted from a working directory."""
    return directory.absolute() / ".hpcml" / ALL


def data_directory(jobs: Path) -> Path:
    """Return the directory of large content beside the folders of jobs, made where it is missing.

    Raises
    ------
    HpcmlError
        The directory is another user's, or open to others.
    """
    data = jobs / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    check_directory(data)
    return data


def new_folder(jobs: Path, name: str) -> "JobFolder":
    """Make the folder of a new job, whose function is called `name`.

    Raises
    ------
    HpcmlError
        The folder cannot be made, or its place is another user's.
    """
    try:
        jobs.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise HpcmlError(f"the folder of the job cannot be made: {error}. Change to another directory") from error
    return JobFolder(new_run_dir(jobs, folder_label(name)))


def folder_label(name: str) -> str:
    """Return the part of a folder's name that comes from the name of its function."""
    return re.sub(r"[^\w]+", "-", name.rpartition(".")[2], flags=re.ASCII).strip("-")[:40] or "call"


class JobFolder:
    """Folder of a job; see the head of this module."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raise HpcmlError unless the folder is this user's, and closed to others."""
        check_directory(self.path)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None where there is none.

        Raises
        ------
        HpcmlError
            The file, or the folder, is another user's or open to others.
        """
        path = self.path / name
        if not path.exists():
            return None
        self.check()
        return read_private(path)

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file. Raises DataError where there is no room for its content."""
        try:
            write_atomic(self.path / name, content)
        except OSError as error:
            raise DataError(
                f"{len(content):,} bytes cannot be written to {self.path / name}: {error.strerror}"
            ) from error

    def make_directory(self, name: str) -> Path:
        """Make a directory in the folder, and return its path."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def remove(self) -> None:
        """Remove the folder, whose job was not submitted."""
        shutil.rmtree(self.path, ignore_errors=True)

    def refresh(self, name: str = "") -> None:
        """Make this computer see the files that other nodes have just made, here or in the directory `name`."""
        refresh_names(self.path / name)

    def note_id(self, job: str, elements: int = 1) -> None:
        """Note that a job belongs to this folder, and the number of its elements."""
        self.write(f"id-{job}", str(elements).encode())

    @property
    def ids(self) -> dict[str, int]:
        """Jobs of this folder, with the number of elements of each, in the order of their submission."""
        found = sorted(self.path.glob("id-*"), key=lambda path: path.stat().st_mtime_ns)
        return {path.name.removeprefix("id-"): int(read_private(path) or 1) for path in found}

    @property
    def log(self) -> Path:
        """File of the latest output of the folder's jobs, or the file that the user has named for it."""
        named = self.read("output")
        if named is not None:
            return Path(os.fsdecode(named))
        logs = [(path.stat().st_mtime_ns, path) for path in self.path.glob("*.log")]
        return max(logs)[1] if logs else self.path / "job.log"


def _folders_with(jobs: Path, job: str) -> Iterator[JobFolder]:
    """Yield the folders of a job's number, the latest first; numbers of jobs are used again after years."""
    notes = [(path.stat().st_mtime_ns, path.parent) for path in jobs.glob(f"*/id-{job}")]
    yield from (JobFolder(path) for _, path in sorted(notes, reverse=True))


def find_folder(job: str, places: list[Path]) -> JobFolder:
    """Return the folder of a job, which is looked for in several working directories.

    Raises
    ------
    HpcmlError
        There is none; the message names the places.
    """
    if not re.fullmatch(r"(local-)?\d+", job):
        raise HpcmlError(f"hpcml.Job({job!r}): write the number of a job of hpcml.submit, such as 7")
    for place in places:
        for folder in _folders_with(jobs_directory(place), job):
            folder.check()
            return folder
    searched = " and ".join(f"{place}/.hpcml/{ALL}" for place in places)
    raise HpcmlError(
        f"job {job} was not submitted by hpcml.submit from here: {searched} has no folder of it. Change to the "
        f"directory from which it was submitted, or name its folder: hpcml.Job({job!r}, folder=…)"
    )
