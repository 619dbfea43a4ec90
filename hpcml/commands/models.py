"""``hpcml models``: the versions of the models in a store, and which of them is in use."""

import argparse
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from hpcml.commands.report.formatting import moment
from hpcml.models import ModelStore, ModelVersion

__all__ = ["list_models", "promote", "roll_back", "show_model", "verify"]


def list_models(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print a line for each version of all models, or of one; return the exit status."""
    store = ModelStore(arguments.store)
    names = [arguments.name] if arguments.name else store.names()
    found = [(name, store.pointer(name).version, store.versions(name)) for name in names]
    if arguments.json:
        print(json.dumps([_facts(one, one.version == used) for _, used, versions in found for one in versions]))
        return 0
    rows = [_row(one, one.version == used) for _, used, versions in found for one in versions]
    if not rows:
        print(f"no models in {store.directory}: hpcml.models.ModelStore.save saves one")
        return 0
    from tabulate import tabulate

    headers = ["model", "version", "", "saved", "size", "metrics"]
    print(tabulate(rows, headers, tablefmt="plain", disable_numparse=True))
    return 0


def _row(version: ModelVersion, in_use: bool) -> list[str]:
    nbytes = sum(file["bytes"] for file in version.files.values())
    metrics = ", ".join(f"{name} {_number(value)}" for name, value in version.metrics.items())
    saved = version.saved[:16].replace("T", " ")
    return [version.name, str(version.version), "in use" if in_use else "", saved, _size(nbytes), metrics]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e6:.3g} MB" if nbytes >= 1e6 else f"{nbytes / 1e3:.3g} kB"


def _facts(version: ModelVersion, in_use: bool) -> dict[str, Any]:
    return {**dataclasses.asdict(version), "path": str(version.path), "in_use": in_use}


def show_model(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the manifest of a version, by default of the one in use, and the changes of that; the exit status."""
    store = ModelStore(arguments.store)
    version = store.version(arguments.name, arguments.version)
    pointer = store.pointer(arguments.name)
    facts = _facts(version, version.version == pointer.version)
    facts["changes"] = [dataclasses.asdict(change) for change in pointer.changes]
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return 0
    from tabulate import tabulate

    changes = facts.pop("changes")
    shown = [(name.replace("_", " "), _shown(value)) for name, value in facts.items() if value not in ("", {}, ())]
    print(tabulate(shown, tablefmt="plain", disable_numparse=True))
    for change in changes:
        verb = "promoted" if change["kind"] == "promote" else "back in use"
        print(f"{moment(change['time'])}  {change['version']} {verb} by {change['user']} on {change['host']}")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        ending = ", " if any(isinstance(item, str | int) for item in value.values()) else "\n"
        return ending.join(f"{name} {_shown(item)}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def promote(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Put a version into use; return the exit status."""
    ModelStore(arguments.store).promote(arguments.name, arguments.version)
    print(f"{arguments.name}: version {arguments.version} is in use")
    return 0


def roll_back(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Put the version into use that was in use before; return the exit status."""
    version = ModelStore(arguments.store).roll_back(arguments.name)
    print(f"{arguments.name}: version {version} is in use again")
    return 0


def verify(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Compare the files of all versions, or of one, with their digests; return 1 where one has changed."""
    store = ModelStore(arguments.store)
    names = [arguments.name] if arguments.name else store.names()
    problems = [problem for name in names for problem in store.problems(name, arguments.version)]
    for problem in problems:
        print(problem)
    if not problems:
        versions = sum(len(store.numbers(name)) for name in names) if arguments.version is None else 1
        print(f"{versions} {'version is' if versions == 1 else 'versions are'} as saved")
    return 1 if problems else 0
