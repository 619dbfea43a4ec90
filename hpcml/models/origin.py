"""Origin of a model: the version of the script, the releases of libraries, and the digest of the data."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hpcml.errors import CommandError
from hpcml.models.manifest import file_digest
from hpcml.slurm.process import run

__all__ = ["code_version", "data_digest", "libraries", "main_script"]

GIT_SECONDS = 10.0
PACKAGES = ("hpcml", "numpy", "scikit-learn", "scipy", "torch", "jax")


def code_version(script: Path | None, environment: Mapping[str, str] | None = None) -> str:
    """Return the commit of git in which a script is, with ``+changes`` where its repository differs from that.

    Without a repository it is the SHA-256 of the script; "" without a script, as in a notebook.
    """
    if script is None or not script.is_file():
        return ""
    git = ["git", "-C", str(script.resolve().parent)]
    try:
        commit = run([*git, "rev-parse", "HEAD"], environment, GIT_SECONDS).strip()
        run([*git, "ls-files", "--error-unmatch", str(script.resolve())], environment, GIT_SECONDS)
        changes = run([*git, "status", "--porcelain", "--untracked-files=no"], environment, GIT_SECONDS)
        return f"git:{commit}{'+changes' if changes else ''}"
    except CommandError:  # no git, or a script that is in none of its repositories
        return f"sha256:{file_digest(script)['sha256']}"


def main_script() -> Path | None:
    """Return the file of the program that runs; None where there is none."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return None if file is None else Path(file)


def data_digest(data: Any) -> str:
    """Return the digest of data: of the bytes of files that paths or texts name, else of an object's content.

    Equal content has equal digests in all processes. An object without a known content has none: "".

    Examples
    --------
    >>> import numpy
    >>> from hpcml.models.origin import data_digest
    >>> data_digest(numpy.arange(3)) == data_digest(numpy.arange(3)) != data_digest(numpy.arange(4))
    True
    """
    if data is None:
        return ""
    if isinstance(data, Path) or (isinstance(data, str) and os.path.isfile(data)):
        data = Path(data)
        return f"sha256:{file_digest(data)['sha256']}"
    if isinstance(data, list | tuple) and data and all(isinstance(one, Path | str) for one in data):
        return " ".join(data_digest(one) for one in data)
    from hpcml.journal.call_keys import content_key

    return content_key(data)


def libraries(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the releases of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
