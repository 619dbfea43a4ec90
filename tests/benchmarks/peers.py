"""Virtual environment of the peers, and the versions of everything compared."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENT = ROOT / ".venv-peers"
PYTHON = ENVIRONMENT / "bin/python"
# In both environments in the same version, for the comparison to be of what is built on them; pandas, because
# scikit-learn imports it where it is installed.
COMMON = ("ipyparallel", "joblib", "numpy", "pandas", "scikit-learn", "scipy")
INSTALL_TIMEOUT = 1200
_PRINT = "import json, sys, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"


def requirements() -> list[str]:
    """Return the requirements of the peers' environment, as pip reads them."""
    lines = [line.strip() for line in (HERE / "peers.txt").read_text().splitlines()]
    own = [line for line in lines if line and not line.startswith("#")]
    return own + [f"{name}=={version(name)}" for name in COMMON]


def make() -> None:
    """Make the peers' environment, unless it exists with these requirements."""
    stamp = ENVIRONMENT / "requirements.txt"
    wanted = "\n".join(requirements()) + "\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"making {ENVIRONMENT.name} for the peers …", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], [*pip, *requirements()]):
        subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT)
    stamp.write_text(wanted)


def versions() -> dict[str, str]:
    """Return the installed version of everything compared."""
    names = ["hpcml", *COMMON, "pyzmq"]
    try:
        ours = {name: version(name) for name in names}
    except PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed for {sys.executable}: run `make bench`") from None
    peers = ["dask", "distributed", "executorlib", "mpi4py", "scoop", *COMMON]
    command = [str(PYTHON), "-c", _PRINT, *peers]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    theirs = json.loads(done.stdout)
    differ = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    if differ:
        raise SystemExit(f"{', '.join(differ)}: not the same version in both environments; remove {ENVIRONMENT}")
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=False, timeout=60).stdout.strip()
    return {"commit": commit or "unknown"} | ours | theirs
