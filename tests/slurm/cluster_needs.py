"""What this computer must have before a test cluster can run on it."""

import os
import shutil
import sys

# Program -> Debian's package, for what runs outside any root of a release's own.
_COMMON = {"ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux", "mount": "mount"}
_PROGRAMS = {
    "22.05": {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "srun": "slurm-wlm", "munged": "munge"},
    "24.11": {"debootstrap": "debootstrap"},
}
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def missing(release: str) -> str:
    """What is missing for a cluster of this release, as a sentence; empty when nothing is."""
    if not sys.platform.startswith("linux"):
        return "a test cluster needs Linux"
    if os.geteuid() != 0:
        return "a test cluster needs root, for it makes network and mount namespaces"
    lacking = {name: package for name, package in (_COMMON | _PROGRAMS[release]).items()
               if shutil.which(name, path=_PATH) is None}
    if not lacking:
        return ""
    packages = ", ".join(sorted(set(lacking.values())))
    return (f"missing programs: {', '.join(lacking)} (Debian packages: {packages}); "
            "install them with: tests/install-system")
