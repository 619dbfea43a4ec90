"""Checks of directories: shared by the nodes, writable, large enough, private, with locks that hold."""

from hpcml.commands.doctor.facts import Facts, Place
from hpcml.commands.doctor.finding import Finding, Severity, about, fine, grouped

__all__ = ["check_home", "check_locks", "check_run_directory", "check_shared_memory", "check_temporary_directory",
           "check_working_directory"]  # fmt: skip

_SMALL_SHARED_MEMORY = 128 * 10**6  # containers have 64 MB by default
_SMALL_DISK = 100 * 10**6


def _places(facts: Facts, name: str) -> dict[str, Place]:
    """Return a place of every computer that has described itself, the driver's included."""
    found = {facts.driver.name: facts.driver, **facts.computers}
    return {computer: one.places[name] for computer, one in found.items() if name in one.places}


def _files(facts: Facts) -> dict[str, dict[str, str]]:
    """Return what each node has seen of the directories; see `hpcml.commands.doctor.directories.look_at`."""
    return {name: node.files for name, node in facts.seen.items() if node.files is not None}


def check_shared_memory(facts: Facts) -> list[Finding]:
    """Check that /dev/shm is there, and large enough for data."""
    places = _places(facts, "shared memory")
    found = grouped(
        Severity.WILL_FAIL,
        "shared memory",
        {name: f"{place.path}: {place.error}" for name, place in places.items() if place.error},
        "Python's multiprocessing, and with it engine local and nested joblib pools, make their locks there",
        "ls -ld /dev/shm; df -h /dev/shm   (in a container: --shm-size=8g, or bind the host's /dev/shm)",
    )
    small = {
        name: f"{about(place.free)} free of {about(place.total)} in {place.path}"
        for name, place in places.items()
        if not place.error and place.free < _SMALL_SHARED_MEMORY
    }
    found += grouped(
        Severity.SLOW,
        "shared memory",
        small,
        "large arrays are staged there once per node; those that do not fit go to TMPDIR or /tmp, a slower place",
        "df -h /dev/shm; ls -l /dev/shm   (files of yours that ended runs have left may be removed)",
    )
    least = min((place.free for place in places.values()), default=0)
    return found or fine("shared memory", f"{about(least)} free in /dev/shm, at least")


def check_temporary_directory(facts: Facts) -> list[Finding]:
    """Check that files can be made in TMPDIR or /tmp of every node."""
    places = _places(facts, "temporary directory")
    wrong = {name: f"{place.path}: {place.error}" for name, place in places.items() if place.error}
    small = {
        name: f"{place.path}: {about(place.free)} free"
        for name, place in places.items()
        if not place.error and place.free < _SMALL_DISK
    }
    found = grouped(
        Severity.WILL_FAIL if wrong and not small and _no_place_at_all(facts) else Severity.SLOW,
        "temporary directory",
        {**small, **wrong},
        "each node's programs, and many libraries, make files there; Python next tries /tmp, /var/tmp and the "
        "working directory",
        "unset TMPDIR, or in the job script: export TMPDIR=<a directory that every node has>",
    )
    least = min((place.free for place in places.values()), default=0)
    return found or fine("temporary directory", f"{about(least)} free in {_one_path(places)}, at least")


def _no_place_at_all(facts: Facts) -> bool:
    """Return whether a computer has an error in its temporary directory although that is the default one."""
    return any(place.error and place.path == "/tmp" for place in _places(facts, "temporary directory").values())


def _one_path(places: dict[str, Place]) -> str:
    paths = {place.path for place in places.values()}
    return paths.pop() if len(paths) == 1 else "the temporary directories"


def check_home(facts: Facts) -> list[Finding]:
    """Check that files can be made in the home directory, of every node and of this host."""
    places = _places(facts, "home")
    wrong = {name: f"{place.path}: {place.error}" for name, place in places.items() if place.error}
    found = grouped(
        Severity.SLOW,
        "home",
        wrong,
        "matplotlib, numba, torch and others write caches there, and fail or start slowly without",
        "df -h ~; quota -s   (full, over quota, or not mounted?)\nand in the job script: export "
        "HOME=<a directory that can be written>, or MPLCONFIGDIR, NUMBA_CACHE_DIR and XDG_CACHE_HOME alone",
    )
    kinds = sorted({place.kind for place in places.values() if place.kind})
    return found or fine("home", f"can be written ({', '.join(kinds)})")


def check_working_directory(facts: Facts) -> list[Finding]:
    """Check that every node has the working directory, and that it is the same one."""
    place = facts.directory
    unlike = {}
    for name, files in _files(facts).items():
        trial = files["trial"]
        if files["directory"]:
            unlike[name] = f"{place.path} {files['directory']}"
        elif trial not in ("shared", "not tried"):
            unlike[name] = f"{place.path} is another directory there (a file that was made here: {trial})"
    found = grouped(
        Severity.SLOW,
        "working directory",
        unlike,
        "modules beside the script, data files with relative paths and what tasks write there are not found; "
        "results and the journal need no shared directory",
        "cd <a directory that all nodes share, such as your home or project directory> before sbatch or salloc",
    )
    shared = ", the same on every node" if facts.seen else ""
    return found or fine("working directory", f"{place.path} ({place.kind or 'unknown file system'}){shared}")


def check_run_directory(facts: Facts) -> list[Finding]:
    """Check that a private directory for runs can be made in the working directory, and has room."""
    place = facts.directory
    why = "logs and journal go to a temporary directory of this host, and are lost with it: no run can be resumed"
    type_ = "hpcml run --run-dir=<a directory of yours that can be written>"
    if facts.run_dir_error:
        private = "has mode" in facts.run_dir_error
        if private:
            why = "other users can read keys and journals there, so a run refuses to use the directory"
        return [
            Finding(
                Severity.WILL_FAIL if private else Severity.SLOW,
                "run directory",
                (facts.run_dir_error,),
                why,
                type_,
            )
        ]
    if place.total and place.free < _SMALL_DISK:
        seen = f"{about(place.free)} free in {place.path}"
        return [Finding(Severity.SLOW, "run directory", (seen,), "the journal may fill the file system", type_)]
    unwritable = {name: files["write"] for name, files in _files(facts).items() if files.get("write")}
    found = grouped(
        Severity.SLOW,
        "run directory",
        unwritable,
        "tasks on these nodes cannot write in the working directory, although this host can",
        "write results from the script, not from tasks, or use another file system",
    )
    return found or fine("run directory", "made with mode 0700, and writable")


def check_locks(facts: Facts) -> list[Finding]:
    """Check that a lock that this host holds is seen by the nodes."""
    states = {name: files["lock"] for name, files in _files(facts).items() if "lock" in files}
    wrong = {name: state for name, state in states.items() if state not in ("", "free")}
    wrong |= {name: "got a lock that this host holds" for name, state in states.items() if state == "free"}
    why = "two processes on different nodes may write the same checkpoint or SQLite file (Optuna) at once"
    type_ = "keep such files on another file system: stat -f -c %T .   (Lustre needs the mount option flock)"
    if facts.lock_error:
        return [Finding(Severity.SLOW, "file locks", (f"this host: {facts.lock_error}",), why, type_)]
    found = grouped(Severity.SLOW, "file locks", wrong, why, type_)
    return found or (fine("file locks", "a lock of this host is seen by every node") if states else [])
