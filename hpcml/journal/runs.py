"""Run that a Cluster belongs to: a new one, or the last one of the same script."""

import itertools
import json
import logging
import os
import secrets
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Protocol

from hpcml.data.digests import digest
from hpcml.errors import HpcmlError, JournalFull
from hpcml.journal.lease import this_process
from hpcml.journal.private_files import check_directory, open_private
from hpcml.journal.run_journal import RunJournal
from hpcml.slurm.queries import is_job_over

__all__ = ["Wanted", "last_run", "new_run_dir", "note_last_run", "open_run", "run_label", "versions"]

log = logging.getLogger("hpcml")

_RESULTS_DEPEND_ON = ("hpcml", "numpy", "scipy", "scikit-learn", "pandas")

_numbers = itertools.count()  # of the Clusters that this process has opened


class Wanted(Protocol):
    """Options of a user that say which run a Cluster belongs to; see `hpcml.Cluster`."""

    @property
    def run_dir(self) -> Path | None:
        """Directory in which the directories of runs are."""

    @property
    def journal(self) -> bool | str:
        """Whether results are recorded."""

    @property
    def resume(self) -> bool | Path:
        """Whether to go on with the last run, or the directory of the run to go on with."""


def versions() -> dict[str, str]:
    """Return the versions of what results depend on: Python, hpcml, and the numerical libraries."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _RESULTS_DEPEND_ON:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def run_label(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return what a script's runs are remembered by: its path, its arguments and its task of a job array.

    The second Cluster that a script opens is another one than the first; that of a notebook, or of an interactive
    session, is not: it is known by the working directory.
    """
    script = argv[0] if argv else ""
    if not script or "ipykernel" in script:
        stem, what = "interactive", [os.getcwd()]
    else:
        array_task = environment.get("SLURM_ARRAY_TASK_ID", "")
        stem, what = Path(script).stem[:40], [os.path.abspath(script), *argv[1:], array_task, str(next(_numbers))]
    return f"{stem}-{digest(json.dumps(what).encode())[:12]}"


def note_last_run(base: Path, label: str, run_dir: Path) -> Path:
    """Note which run of a script is the last, in a file whose path is returned."""
    temporary = base / f".last-{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex}"
    note = base / f"last-{label}"
    try:
        with open(open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
            file.write(run_dir.name + "\n")
        os.replace(temporary, note)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return note


def last_run(base: Path, label: str) -> Path | None:
    """Return the directory of a script's last run; None when there was none, or it is gone.

    Raises
    ------
    HpcmlError
        It is not this user's, or open to others.
    """
    note = base / f"last-{label}"
    try:
        with open(open_private(note, os.O_RDONLY), errors="replace") as file:
            name = file.read().strip()
    except FileNotFoundError:
        return None
    if not name or "/" in name or name.startswith("."):
        raise HpcmlError(f"{note} names no run: remove it")
    directory = (base / name).absolute()
    if not directory.is_dir():
        return None
    check_directory(directory)
    return directory


def new_run_dir(base: Path, label: str) -> Path:
    """Make the directory of a run, ``base/<time>-<label>-<random>``, mode 0700, and return it.

    Raises
    ------
    HpcmlError
        It cannot be made here, or `base` is a link or another user's.
    """
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}-{secrets.token_hex(3)}"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = base.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise HpcmlError(f"{base} is a link or belongs to another user: remove it, or pass Cluster(run_dir=…)")
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise HpcmlError(f"everybody can write to {base}: chmod o-w '{base}', or pass Cluster(run_dir=…)")
        (base / name).mkdir(mode=0o700)
    except OSError as error:
        raise HpcmlError(
            f"the directory for logs cannot be made: {error}. Pass one on a file system you can write to: "
            "Cluster(run_dir=…)"
        ) from error
    return (base / name).absolute()


def _new_run(options: Wanted, label: str) -> Path:
    """Make the run's directory; where none was asked for and this one is not ours, in the temporary directory."""
    if options.run_dir is not None:
        return new_run_dir(options.run_dir, label)
    try:
        return new_run_dir(Path(".hpcml"), label)
    except HpcmlError as error:
        fallback = new_run_dir(Path(tempfile.mkdtemp(prefix="hpcml-")), label)
        how = (
            f", and so does the journal: resume with Cluster(resume={str(fallback)!r})" if options.journal else ""
        )
        log.warning("%s\nThe logs go to %s%s", error, fallback, how)
        return fallback


def open_run(
    options: Wanted, label: str, argv: Sequence[str], environment: Mapping[str, str]
) -> tuple[Path, RunJournal | None]:
    """Return the directory of a run, new or to be resumed as `options` say, and its journal.

    Parameters
    ----------
    label
        Goes into the name of a new directory.
    argv
        What the script was called with.

    Raises
    ------
    RunInUse
        The run that should be resumed has a driver.
    HpcmlError
        There is no such run, or it is not this user's own.
    """
    script = run_label(argv, environment)
    directory = None
    if isinstance(options.resume, Path):
        directory = options.resume.absolute()
        check_directory(directory)
        if not (directory / "journal").exists():
            raise HpcmlError(
                f"{directory} holds no journal, so there is nothing to resume: give a run's directory"
            )
    elif options.resume:
        directory = last_run(options.run_dir or Path(".hpcml"), script)
    resumed = directory is not None
    directory = directory or _new_run(options, label)
    if not options.journal:
        return directory, None
    job, restart = environment.get("SLURM_JOB_ID", ""), environment.get("SLURM_RESTART_COUNT", "")
    me = this_process(job, int(restart) if restart.isdigit() else 0)
    try:
        required = options.journal == "required"
        run_journal = RunJournal(directory, me, versions(), lambda job: is_job_over(job, environment), required)
    except JournalFull as error:
        if resumed or options.journal == "required":
            raise
        log.warning("%s. The run goes on without", error)
        return directory, None
    if not resumed:
        _remember(run_journal, script, directory)
    elif run_journal.outdated:
        log.warning("%s", _changed(run_journal))
    return directory, run_journal


def _remember(run_journal: RunJournal, script: str, directory: Path) -> None:
    try:
        run_journal.adopt_file(note_last_run(directory.parent, script, directory))
    except OSError as error:
        log.warning(
            "this run cannot be noted as the last (%s): resume it with Cluster(resume=%r)", error, str(directory)
        )


def _changed(run_journal: RunJournal) -> str:
    before, now = run_journal.other_versions, run_journal.versions
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    changes = [f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}" for name in names]
    return f"{run_journal.outdated} recorded tasks run again, for versions have changed: {', '.join(changes)}"
