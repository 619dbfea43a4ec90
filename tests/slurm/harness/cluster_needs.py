"""Requirements of a test cluster on this computer."""

import functools
import os
import re
import shutil
import subprocess
import sys

import cluster_root

# Program -> Debian's package.
_COMMON = {"ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux", "mount": "mount"}
_SLURM = {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "srun": "slurm-wlm", "munged": "munge"}
_BUILD = {"debootstrap": "debootstrap", "apt-get": "apt", "apt-config": "apt"}
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@functools.cache
def own_release() -> str | None:
    """Return the release of this computer's own Slurm, such as "22.05"."""
    program = shutil.which("slurmctld", path=_PATH)
    if program is None:
        return None
    version = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=30).stdout
    found = re.search(r"\d+\.\d+", version)
    return found[0] if found else None


def missing(release: str) -> str:
    """Return a sentence with the first thing that a cluster of this release lacks here, or an empty text."""
    if not sys.platform.startswith("linux"):
        return "a test cluster needs Linux"
    if os.geteuid() != 0:
        return "a test cluster needs root, for it makes network and mount namespaces"
    needed = dict(_COMMON)
    if release != cluster_root.RELEASE or own_release() == release:
        needed |= _SLURM
    elif not cluster_root.is_made():
        needed |= _BUILD
    lacking = {name: package for name, package in needed.items() if shutil.which(name, path=_PATH) is None}
    if lacking:
        packages = ", ".join(sorted(set(lacking.values())))
        return (f"missing programs: {', '.join(lacking)} (Debian packages: {packages}); "
                "install them with: tests/install-system")
    if release != cluster_root.RELEASE and own_release() != release:
        return f"this computer's Slurm is {own_release()}, and only its own packages can be release {release}"
    return ""
