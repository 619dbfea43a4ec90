"""Root directory of a release of Slurm that is not this computer's: Debian 13, made once and then kept.

The root is built under another name and renamed when complete, so that an interrupted build never counts as a
finished one. Packages come from wherever this computer's own apt gets Debian's.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cluster_ns as ns
from cluster_conf import ClusterError

RELEASE = "24.11"
SUITE = "trixie"
# Raised when the packages change, so that an older root is not used.
_RECIPE = "1"
BUILD_TIMEOUT = 1200
PACKAGES = (
    "slurm-wlm", "munge", "iproute2", "openmpi-bin", "procps", "python3",
    # Libraries of a Python 3.11 to 3.13 that was built on Debian 12.
    "libssl3t64", "libffi8", "libsqlite3-0", "libreadline8t64", "libbz2-1.0", "liblzma5", "zlib1g",
    "libuuid1", "libncursesw6", "libexpat1", "libgdbm6t64", "libcrypt1", "libnsl2", "libtirpc3t64",
    "libgomp1", "libstdc++6",
)


def cache_dir() -> Path:
    """Return the directory of the kept roots."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HPCML_TEST_CACHE") or Path(base) / "hpcml").absolute()


def debian13() -> Path:
    """Return the root directory of Debian 13 with Slurm 24.11; the first call makes it, in about a minute."""
    cache = cache_dir()
    root = cache / "debian13"
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / "debian13.lock"):
        if not is_made():
            building = cache / "debian13.building"
            shutil.rmtree(building, ignore_errors=True)
            if root.exists():
                # Renamed first, so that a removal cut short leaves nothing that looks complete.
                root.rename(building)
                shutil.rmtree(building)
            _build(building, cache / "debian13.log")
            (building / "etc/hpcml-recipe").write_text(_RECIPE)
            building.rename(root)
    return root


def is_made() -> bool:
    recipe = cache_dir() / "debian13/etc/hpcml-recipe"
    return recipe.exists() and recipe.read_text() == _RECIPE


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Lock, so that one process builds at a time; the wait is as long as a build may take."""
    with open(path, "w") as file:
        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        ns.wait_for(taken, BUILD_TIMEOUT, f"the lock {path}, held by another build", 0.5)
        yield


def _build(root: Path, log: Path) -> None:
    configuration = apt_configuration()
    env = _apt_environment(configuration)
    # Mounts, and daemons that a package may start, end with the namespaces.
    apart = ["unshare", "-m", "-p", "--kill-child", "--mount-proc"]
    inside = ["unshare", "-m", "-p", "--kill-child", f"--root={root}", "--wd=/"]
    script = 'mount -t proc proc /proc && apt-get -q update && exec apt-get -q -y install "$@"'
    with open(log, "wb") as out:
        _logged([*apart, "debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root),
                 mirror()], env, log, out)
        _prepare_apt(root, configuration)
        _logged([*inside, "sh", "-c", script, "sh", "--no-install-recommends",
                 *PACKAGES], env, log, out)
        _logged([*inside, "apt-get", "clean"], env, log, out)


def _logged(argv: list[str], env: Mapping[str, str], log: Path, out: IO[bytes]) -> None:
    doing = "making the root directory of Debian 13"
    # If this process were killed, a build that went on would collide with the next one in the same directory.
    argv = ["setpriv", "--pdeathsig", "KILL", *argv]
    try:
        code = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False,
                              timeout=BUILD_TIMEOUT).returncode
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{doing}: not done after {BUILD_TIMEOUT} s; the output is in {log}") from None
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ClusterError(f"{doing} failed with exit code {code}: {' '.join(argv)}\n"
                           f"the output is in {log} and ends with\n{tail}")


def _prepare_apt(root: Path, configuration: str) -> None:
    """Copy this computer's settings of apt to the new root, and keep packages from starting daemons."""
    (root / "etc/apt/apt.conf.d/99host").write_text(configuration)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", name).is_file():
            shutil.copyfile(Path("/", name), root / name)


# -- how this computer's apt gets packages ---------------------------------------------------------------
def mirror() -> str:
    """Return the address of this computer's archive of Debian's main component."""
    fields = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"
    for line in ns.run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]).splitlines():
        origin, label, component, uri = line.split("|", 3)
        if (origin, label, component) == ("Debian", "Debian", "main"):
            return uri
    raise ClusterError("apt names no archive of Debian to make a root from; run apt-get update, or use a "
                       "computer with Debian for --release 24.11")


def apt_configuration() -> str:
    """Return this computer's settings of apt for fetching: proxies, certificates, checks of dates."""
    lines = ns.run(["apt-config", "dump"]).splitlines()
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIP")
    return "\n".join(line for line in lines if line.startswith(wanted)) + "\n"


def _apt_environment(configuration: str) -> dict[str, str]:
    """Return an environment with apt's proxy for debootstrap, which does not read apt's settings."""
    env = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    for line in configuration.splitlines():
        key, _, value = line.rstrip(";").partition(" ")
        if key.lower() in ("acquire::http::proxy", "acquire::https::proxy"):
            env[f"{key.split('::')[1].lower()}_proxy"] = value.strip('"')
    return env | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                  "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
