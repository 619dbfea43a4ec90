"""Store of models: a directory for each model, in it one for each version, and a pointer to the one in use.

::

    models/digits/1/manifest.json       files with their SHA-256, parameters, metrics, origin
    models/digits/1/model.safetensors   or model.skops
    models/digits/2/…
    models/digits/current.json          the version in use, those before, and who changed it

A version is written under a hidden name and renamed as a whole: a number names a complete version, or none.
"""

import contextlib
import datetime
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.models.formats import format_of, read_model
from hpcml.models.manifest import ModelVersion, changed_files, read_manifest
from hpcml.models.origin import code_version, data_digest, libraries, main_script
from hpcml.models.pointer import Pointer, change_pointer, read_pointer
from hpcml.models.saving import make_directory, remove_unfinished, write_version

__all__ = ["ModelStore"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ModelStore:
    """Versions of trained models in a directory, which is made by the first `save`.

    The store is its owner's alone (mode 0700). ``chmod -R g+rX models`` shares it with a group, and new versions
    are then shared too. No code of a stored model is run when it is loaded.

    Parameters
    ----------
    directory
        The store, on a file system that all who use it share.

    Examples
    --------
    >>> import numpy, tempfile
    >>> from hpcml.models import ModelStore
    >>> with tempfile.TemporaryDirectory() as place:
    ...     store = ModelStore(f"{place}/models")
    ...     first = store.save("line", {"slope": numpy.array([2.0])}, metrics={"error": 0.5}, promote=True)
    ...     second = store.save("line", {"slope": numpy.array([3.0])}, metrics={"error": 0.1})
    ...     store.promote("line", second.version)
    ...     store.load("line")["slope"], store.roll_back("line"), store.load("line")["slope"]
    (array([3.]), 1, array([2.]))
    """

    def __init__(self, directory: str | Path = "models") -> None:
        self.directory = Path(directory)

    def save(
        self,
        name: str,
        model: Any,
        *,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        data: Any = None,
        run: str | Path = "",
        promote: bool = False,
    ) -> ModelVersion:
        """Save a model as a new version, and return that.

        Parameters
        ----------
        name
            Of letters, digits, ``.``, ``_`` and ``-``.
        model
            Dict of arrays by name, which is saved as safetensors; an estimator of scikit-learn, saved by skops; or
            the path of such a file.
        parameters, metrics
            What the model was trained with, and how good it is; of JSON's types.
        data
            Data of the training, of which the digest is kept: any object, or paths of files.
        run
            Directory of the run, such as ``cluster.run_dir``.
        promote
            Put the version into use.

        Raises
        ------
        HpcmlError
            The name or the model cannot be used, or a library is missing; nothing is saved.
        OSError
            There is no room, or no right to write; nothing is saved.
        """
        directory = self._directory(name)
        ending = format_of(model)
        facts = {
            "parameters": dict(parameters or {}),
            "metrics": dict(metrics or {}),
            "code_version": code_version(main_script()),
            "data_digest": data_digest(data),
            "run": str(run),
            "saved": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "libraries": libraries(),
        }
        make_directory(directory)
        remove_unfinished(directory)
        version = write_version(directory, model, f"model.{ending}", facts)
        if promote:
            self.promote(name, version.version)
        return version

    def names(self) -> list[str]:
        """Return the names of the models, sorted."""
        try:
            entries = list(os.scandir(self.directory))
        except FileNotFoundError:
            return []
        return sorted(entry.name for entry in entries if NAME.fullmatch(entry.name) and entry.is_dir())

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of a model's versions.

        Raises
        ------
        HpcmlError
            There is no such model; the message names those that there are.
        """
        directory = self._directory(name)
        try:
            entries = os.listdir(directory)
        except (FileNotFoundError, NotADirectoryError) as error:
            known = ", ".join(self.names()) or "none"
            raise HpcmlError(f"{self.directory} has no model {name}; its models are: {known}") from error
        return sorted(int(entry) for entry in entries if entry.isdecimal())

    def versions(self, name: str) -> list[ModelVersion]:
        """Return the versions of a model, the first one first; those with a damaged manifest are left out."""
        found = []
        for number in self.numbers(name):
            with contextlib.suppress(HpcmlError):
                found.append(read_manifest(self._directory(name) / str(number)))
        return found

    def version(self, name: str, version: int | None = None) -> ModelVersion:
        """Return a version of a model; None means the version in use.

        Raises
        ------
        HpcmlError
            There is no such version, or its manifest is damaged.
        """
        if version is None:
            numbers = self.numbers(name)
            version = self.pointer(name).version
            if version is None:
                last = numbers[-1] if numbers else 1
                raise HpcmlError(f"no version of {name} is in use: `hpcml models promote {name} {last}`")
        numbers = self.numbers(name)
        if version not in numbers:
            known = ", ".join(map(str, numbers)) or "none"
            raise HpcmlError(f"{name} has no version {version} in {self.directory}; its versions are: {known}")
        return read_manifest(self._directory(name) / str(version))

    def load(self, name: str, version: int | None = None, trusted: Collection[str] = ()) -> Any:
        """Return the model of a version, by default the one in use; its files are compared with their SHA-256.

        Parameters
        ----------
        trusted
            Names of types, as ``module.Class``, that may be made beside those of scikit-learn and numpy.

        Raises
        ------
        HpcmlError
            There is no such version, a file has changed, or has types that are not trusted.
        """
        found = self.version(name, version)
        _check(found)
        return read_model(found.model_file, trusted)

    def pointer(self, name: str) -> Pointer:
        """Return the version of a model that is in use, and the changes of it; see `Pointer`."""
        return read_pointer(self._directory(name))

    def promote(self, name: str, version: int) -> None:
        """Put a version into use, at once for all readers, when its files are as they were saved.

        Raises
        ------
        HpcmlError
            There is no such version, a file of it has changed, or the pointer cannot be written.
        """
        _check(self.version(name, version))
        change_pointer(self._directory(name), lambda pointer: pointer.promoted(version))

    def roll_back(self, name: str) -> int:
        """Put the version into use that was in use before, and return its number.

        Raises
        ------
        HpcmlError
            There is no version before, or it is damaged or removed.
        """

        def _earlier(pointer: Pointer) -> Pointer:
            earlier = pointer.rolled_back()
            _check(self.version(name, earlier.version))
            return earlier

        self.numbers(name)
        version = change_pointer(self._directory(name), _earlier).version
        assert version is not None
        return version

    def problems(self, name: str, version: int | None = None) -> list[str]:
        """Return what is wrong with a model's versions, or with one: nothing where all are as they were saved."""
        found: list[str] = []
        for number in self.numbers(name) if version is None else [version]:
            try:
                found += changed_files(self.version(name, number))
            except HpcmlError as error:
                found.append(str(error))
        current = self.pointer(name).version
        if version is None and current is not None and current not in self.numbers(name):
            found.append(f"the version in use of {name}, {current}, is not there: promote another")
        return found

    def _directory(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise HpcmlError(f"{name!r} is no name of a model: it has letters, digits, '.', '_' and '-'")
        return self.directory / name


def _check(version: ModelVersion) -> None:
    problems = changed_files(version)
    if problems:
        raise HpcmlError("; ".join(problems))
