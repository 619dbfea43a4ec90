"""Facts about one computer, read by a process there; needs the standard library alone.

A file system or a name server that does not answer may hang any of these calls: `describe_computer` says before
each what it is about to read.
"""

import contextlib
import os
import platform
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import machinery, metadata, util
from pathlib import Path

from hpcml.commands.doctor.facts import Computer, Place
from hpcml.slurm.gpu_masks import MASKS

__all__ = [
    "LIBRARIES",
    "PATH_VARIABLES",
    "cgroup_limits",
    "describe_computer",
    "describe_place",
    "file_system_type",
]

LIBRARIES = {
    "hpcml": "hpcml",
    "cloudpickle": "cloudpickle",
    "ipyparallel": "ipyparallel",
    "joblib": "joblib",
    "mpi4py": "mpi4py",
    "numpy": "numpy",
    "pandas": "pandas",
    "pyzmq": "zmq",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
}
"""Distributions whose versions are compared, and the module of each."""

PATH_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD", "TMPDIR")
_LIMITS = ("NOFILE", "NPROC", "AS", "DATA", "CPU", "FSIZE")
_PROBE_BYTES = 4096  # enough to meet a quota
_UNLIMITED_MEMORY = 1 << 60  # cgroups of version 1 write about 2**63 where there is no limit


def describe_computer(environment: Mapping[str, str], begin: Callable[[str], None] = lambda _: None) -> Computer:
    """Return the facts about this computer.

    Parameters
    ----------
    environment
        The environment variables of this process.
    begin
        Called with a description of what is read next.
    """
    begin("look up its own host name")
    addresses, name_error, name_seconds = _own_name()
    quota, memory_limit = cgroup_limits(Path("/proc/self/cgroup").read_text())
    places = {}
    for name, path in _places(environment).items():
        begin(f"write to {path}")
        places[name] = describe_place(path)
    begin(f"find the libraries of {os.path.dirname(os.__file__)}")
    versions, origins = _libraries()
    begin("look for the paths in its environment variables")
    return Computer(
        name=socket.gethostname(),
        node=environment.get("SLURMD_NODENAME", "") if environment.get("SLURM_STEP_ID") else "",
        uid=os.getuid(),
        addresses=addresses,
        name_error=name_error,
        name_seconds=name_seconds,
        cpus=len(os.sched_getaffinity(0)),
        online=os.cpu_count() or 1,
        quota=quota,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        memory_limit=memory_limit,
        limits={name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in _LIMITS},
        python=platform.python_version(),
        versions=versions,
        origins=origins,
        places=places,
        missing=_missing_paths(environment),
        gpus=next((f"{name}={environment[name]}" for name in MASKS if environment.get(name)), ""),
    )


def _own_name() -> tuple[tuple[str, ...], str, float]:
    """Return the IPv4 addresses that this host's name resolves to, the error, and the seconds that this took."""
    began = time.monotonic()
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        return (), error.strerror or str(error), time.monotonic() - began
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found)), "", time.monotonic() - began


def _places(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        "shared memory": "/dev/shm",
        "temporary directory": environment.get("TMPDIR") or "/tmp",
        "home": os.path.expanduser("~"),
    }


def describe_place(path: str) -> Place:
    """Return the facts about a directory; a file is written there and removed."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        return Place(path, error=error.strerror or str(error))
    kind = ""
    with contextlib.suppress(OSError):
        kind = file_system_type(Path("/proc/self/mountinfo").read_text(), os.path.realpath(path))
    error_text = ""
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"\0" * _PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error_text = error.strerror or str(error)
    return Place(path, kind, found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail, error_text)


def file_system_type(mounts: str, path: str) -> str:
    """Return the type of the file system of `path`, given ``/proc/self/mountinfo`` (proc(5)); "" where unknown.

    Examples
    --------
    >>> from hpcml.commands.doctor.computer import file_system_type
    >>> mounts = "22 1 8:1 / / rw - ext4 /dev/sda rw\\n40 22 0:5 / /home rw shared:2 - nfs4 srv:/home rw\\n"
    >>> file_system_type(mounts, "/home/me"), file_system_type(mounts, "/homes")
    ('nfs4', 'ext4')
    """
    best = ("", "")
    for line in mounts.splitlines():
        fields, _, described = line.partition(" - ")
        point = fields.split()[4].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):  # a later mount hides an earlier one
            best = (point, described.split()[0])
    return best[1]


def cgroup_limits(cgroups: str, root: Path = Path("/sys/fs/cgroup")) -> tuple[float | None, int | None]:
    """Return the CPUs' worth of time, and the bytes, that the cgroups of a process allow; None: no limit.

    Each cgroup above that of the process limits it too: Slurm has one for the job, one for the step and more.

    Parameters
    ----------
    cgroups
        ``/proc/self/cgroup`` (cgroups(7)). Of version 1, memory is read alone.
    """
    quotas, memories = [], []
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        for directory in (path, *map(str, Path(path).parents)):
            if not controllers:
                memories += _numbers(Path(f"{root}{directory}/memory.max"))
                quota = _numbers(Path(f"{root}{directory}/cpu.max"))
                quotas += [quota[0] / quota[1]] if len(quota) == 2 else []
            elif "memory" in controllers.split(","):
                memories += _numbers(Path(f"{root}/memory{directory}/memory.limit_in_bytes"))
    allowed = [int(number) for number in memories if number < _UNLIMITED_MEMORY]
    return min(quotas, default=None), min(allowed, default=None)


def _numbers(path: Path) -> list[float]:
    """Return the numbers in a file; none where one of its words is no number ("max"), or there is no file."""
    try:
        return [float(word) for word in path.read_text().split()]
    except (OSError, ValueError):
        return []


def _libraries() -> tuple[dict[str, str], dict[str, str]]:
    """Return the versions of libraries, and the files of those that another copy on the path hides."""
    versions, origins = {}, {}
    for name, module in LIBRARIES.items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            distribution = metadata.distribution(name)
            versions[name] = distribution.version
            found = util.find_spec(module)
            installed = str(distribution.locate_file(module))
            if found is None:
                origins[name] = "nowhere"
            elif not _same_directory(found, installed):
                origins[name] = str(found.origin)
    return versions, origins


def _same_directory(found: machinery.ModuleSpec, installed: str) -> bool:
    """Return whether a module was found where its distribution is; True where that has no such folder."""
    places: Sequence[str] = list(found.submodule_search_locations or [])
    if not os.path.isdir(installed):
        return True
    return any(os.path.realpath(place) == os.path.realpath(installed) for place in places)


def _missing_paths(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the paths in environment variables that do not exist here."""
    missing = {}
    for name in PATH_VARIABLES:
        words = environment.get(name, "").replace(" ", ":") if name == "LD_PRELOAD" else environment.get(name, "")
        # A library that is named without a directory is searched for by the linker.
        paths = [path for path in words.split(":") if os.path.isabs(path) and not os.path.exists(path)]
        if paths:
            missing[name] = ":".join(paths)
    return missing
