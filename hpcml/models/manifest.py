"""Manifest of a version of a model: its files with their digests, and its origin."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError

__all__ = ["MANIFEST", "ModelVersion", "changed_files", "file_digest", "pack_manifest", "read_manifest"]

MANIFEST = "manifest.json"

# Raise the number when a field changes its meaning. A manifest with a higher number is refused.
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class ModelVersion:
    """Version of a model in a `ModelStore`, as its manifest describes it.

    Parameters
    ----------
    name, version
        Of the model, and its number from 1.
    path
        Directory of its files.
    files
        Name of each file, with its ``sha256`` in hexadecimal and its ``bytes``.
    parameters, metrics
        As given by the user, in types of JSON.
    code_version
        Commit of git in which the script is, with ``+changes`` where files differ from it; else the digest of the
        script's file.
    data_digest
        Digest of the data that the user has named; "" for none.
    run
        Directory of the run, or another name of it; "" for none.
    saved
        Time in ISO 8601, with the offset from UTC.
    libraries
        Releases of Python and of the libraries that models depend on.
    types
        Types of a skops file that are neither scikit-learn's nor numpy's.
    """

    name: str
    version: int
    path: Path
    files: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    code_version: str = ""
    data_digest: str = ""
    run: str = ""
    saved: str = ""
    libraries: Mapping[str, str] = dataclasses.field(default_factory=dict)
    types: tuple[str, ...] = ()

    @property
    def model_file(self) -> Path:
        """The file of the model itself."""
        return self.path / next(iter(self.files))


def pack_manifest(version: ModelVersion) -> bytes:
    """Return the content of a version's manifest; its number and place are those of its directory.

    Raises
    ------
    HpcmlError
        A parameter or metric is of no type of JSON.
    """
    facts = {field.name: getattr(version, field.name) for field in dataclasses.fields(version)}
    del facts["path"], facts["version"]
    try:
        return json.dumps({"format": FORMAT, **facts}, indent=1, default=_plain_number).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise HpcmlError(f"parameters and metrics of a model must be of JSON's types: {error}") from error


def _plain_number(value: Any) -> Any:
    """Return a number or an array of numpy in JSON's types."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def read_manifest(path: Path) -> ModelVersion:
    """Return the version whose directory is `path`.

    Raises
    ------
    HpcmlError
        There is no such version, or its manifest is damaged or of a later hpcml.
    """
    try:
        facts = json.loads((path / MANIFEST).read_bytes())
        if facts.pop("format") > FORMAT:
            raise HpcmlError(f"{path / MANIFEST} is of a later release of hpcml: install that")
        names = {field.name for field in dataclasses.fields(ModelVersion)}
        known = {name: value for name, value in facts.items() if name in names}
        known["types"] = tuple(known.get("types", ()))
        return ModelVersion(version=int(path.name), path=path, **known)
    except OSError as error:
        raise HpcmlError(f"{path / MANIFEST} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HpcmlError(f"{path / MANIFEST} is damaged: {error}") from error


def file_digest(path: Path) -> dict[str, Any]:
    """Return the SHA-256 of a file in hexadecimal, and its bytes."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def changed_files(version: ModelVersion) -> list[str]:
    """Return what is wrong with the files of a version; nothing for one that is as it was saved."""
    found = []
    for name, expected in version.files.items():
        try:
            seen = file_digest(version.path / name)
        except OSError as error:
            found.append(f"{version.path / name} cannot be read: {error.strerror}")
            continue
        if seen != expected:
            found.append(
                f"{version.path / name} has changed: it has {seen['bytes']} bytes and SHA-256 {seen['sha256']}, "
                f"and was saved with {expected.get('bytes')} bytes and {expected.get('sha256')}"
            )
    return found
