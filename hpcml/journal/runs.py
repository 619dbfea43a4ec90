"""Run that a Cluster belongs to: a new run, or the last run of the same script."""

import itertools
import json
import logging
import os
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Protocol

from hpcml.data.digests import digest
from hpcml.errors import HpcmlError, JournalFull
from hpcml.journal.lease import DriverIdentity, this_process
from hpcml.journal.private_files import check_directory, open_private, write_atomic
from hpcml.journal.run_journal import RunJournal
from hpcml.slurm.queries import is_job_over

__all__ = ["RunOptions", "last_run", "new_run_dir", "note_last_run", "open_run", "run_label", "versions"]

log = logging.getLogger("hpcml")

_RESULTS_DEPEND_ON = ("hpcml", "numpy", "scipy", "scikit-learn", "pandas")

_numbers = itertools.count()  # of the Clusters that this process has opened


class RunOptions(Protocol):
    """Options of a Cluster that decide which run it belongs to; see `hpcml.Cluster`."""

    @property
    def run_dir(self) -> Path | None:
        """Directory that holds the directories of runs."""

    @property
    def journal(self) -> bool | str:
        """True where results are recorded; "required" where a task fails without its record."""

    @property
    def resume(self) -> bool | Path:
        """True to resume the last run, or the directory of the run to resume."""


def versions() -> dict[str, str]:
    """Return the versions of all that results depend on: Python, hpcml, and the numerical libraries."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _RESULTS_DEPEND_ON:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def run_label(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the label of a script's runs, made of its path, its arguments and its task of a job array.

    Each Cluster that a script opens has a label, and runs, of its own. A notebook has one label: its cells are run
    again and in any order. In other interactive sessions the working directory identifies the run.
    """
    script = argv[0] if argv else ""
    if "ipykernel" in script and (notebook := _notebook(environment)):
        stem = Path(notebook).stem[:40]
        identity = [notebook]
    elif not script or "ipykernel" in script:
        stem = "interactive"
        identity = [os.getcwd()]
    else:
        array_task = environment.get("SLURM_ARRAY_TASK_ID", "")
        stem = Path(script).stem[:40]
        identity = [os.path.abspath(script), *argv[1:], array_task, str(next(_numbers))]
    return f"{stem}-{digest(json.dumps(identity).encode())[:12]}"


def _notebook(environment: Mapping[str, str]) -> str:
    """Return the path of the notebook whose kernel this is; "" where the front end does not say."""
    of_code = getattr(sys.modules["__main__"], "__vsc_ipynb_file__", "")  # set by Visual Studio Code
    return environment.get("JPY_SESSION_NAME", "") or str(of_code)


def note_last_run(base: Path, label: str, run_dir: Path) -> Path:
    """Write the name of a script's last run to a file, and return its path."""
    note = base / f"last-{label}"
    write_atomic(note, os.fsencode(f"{run_dir.name}\n"))
    return note


def last_run(base: Path, label: str) -> Path | None:
    """Return the directory of a script's last run; None when there was no run, or its directory is gone.

    Raises
    ------
    HpcmlError
        The directory is not this user's, or open to others.
    """
    note = base / f"last-{label}"
    try:
        with open(open_private(note, os.O_RDONLY), "rb") as file:
            name = os.fsdecode(file.read()).strip()
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
    """Make the directory of a run, ``base/<time>-<label>-<random>``, mode 0700, and return its path.

    Raises
    ------
    HpcmlError
        The directory cannot be made, or `base` is a link or another user's.
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


def _make_run_dir(options: RunOptions, label: str) -> Path:
    """Make the directory of a new run; in the temporary directory, if the default place is not this user's."""
    if options.run_dir is not None:
        return new_run_dir(options.run_dir, label)
    try:
        return new_run_dir(Path(".hpcml"), label)
    except HpcmlError as error:
        fallback = new_run_dir(Path(tempfile.mkdtemp(prefix="hpcml-")), label)
        advice = ""
        if options.journal:
            advice = f", and so does the journal: resume with Cluster(resume={str(fallback)!r})"
        log.warning("%s\nThe logs go to %s%s", error, fallback, advice)
        return fallback


def open_run(
    options: RunOptions, label: str, argv: Sequence[str], environment: Mapping[str, str]
) -> tuple[Path, RunJournal | None]:
    """Return the directory of a run, new or to be resumed as `options` say, and its journal.

    Parameters
    ----------
    label
        Part of the name of a new directory.
    argv
        The command line of the script.

    Raises
    ------
    RunInUse
        The run that should be resumed has a driver.
    HpcmlError
        There is no such run, or it is not this user's own.
    """
    script = run_label(argv, environment)
    found = _find_run(options, script)
    directory = found or _make_run_dir(options, label)
    if not options.journal:
        return directory, None
    try:
        run_journal = RunJournal(
            directory,
            _this_driver(environment),
            versions(),
            lambda job: is_job_over(job, environment),
            options.journal == "required",
        )
    except JournalFull as error:
        if found is not None or options.journal == "required":
            raise
        log.warning("%s. The run continues without", error)
        return directory, None
    if found is None:
        _note_as_last(run_journal, script, directory)
    elif run_journal.outdated:
        log.warning("%s", _changed_versions(run_journal))
    return directory, run_journal


def _find_run(options: RunOptions, script: str) -> Path | None:
    """Return the directory of the run to resume; None for a new run."""
    if not isinstance(options.resume, Path):
        return last_run(options.run_dir or Path(".hpcml"), script) if options.resume else None
    directory = options.resume.absolute()
    check_directory(directory)
    if not (directory / "journal").exists():
        raise HpcmlError(f"{directory} holds no journal, so there is nothing to resume: give a run's directory")
    return directory


def _this_driver(environment: Mapping[str, str]) -> DriverIdentity:
    restart = environment.get("SLURM_RESTART_COUNT", "")
    return this_process(environment.get("SLURM_JOB_ID", ""), int(restart) if restart.isdigit() else 0)


def _note_as_last(run_journal: RunJournal, script: str, directory: Path) -> None:
    try:
        run_journal.adopt_file(note_last_run(directory.parent, script, directory))
    except OSError as error:
        log.warning(
            "this run cannot be noted as the last (%s): resume it with Cluster(resume=%r)", error, str(directory)
        )


def _changed_versions(run_journal: RunJournal) -> str:
    """Return the warning that recorded tasks run again, with the versions that have changed."""
    before = run_journal.other_versions
    now = run_journal.versions
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    changes = [f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}" for name in names]
    return f"{run_journal.outdated} recorded tasks run again, for versions have changed: {', '.join(changes)}"
