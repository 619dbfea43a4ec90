"""Parsers of ``hpcml models`` and ``hpcml serve``."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

__all__ = ["add_models"]

Call = Callable[..., int]
"""Imports a module and calls a function of it with the arguments; see `hpcml.commands.main`."""

MODULE = "hpcml.commands.models"


def add_models(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", call: Call) -> None:
    """Add ``hpcml models`` with its actions."""
    models = commands.add_parser("models", help="versions of models: list, show, promote, rollback, verify")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION", prog="hpcml models")
    found = {
        "list_models": actions.add_parser("list", help="list the versions of all models, or of one"),
        "show_model": actions.add_parser("show", help="print a version's parameters, metrics and origin"),
        "promote": actions.add_parser("promote", help="put a version into use"),
        "roll_back": actions.add_parser("rollback", help="put the version into use that was in use before"),
        "verify": actions.add_parser("verify", help="compare files with their SHA-256"),
    }
    for function, action in found.items():
        optional = {"nargs": "?"} if function in ("list_models", "verify") else {}
        action.add_argument("name", help="of the model", **optional)  # type: ignore[arg-type]
        if function in ("show_model", "promote", "verify"):
            optional = {} if function == "promote" else {"nargs": "?"}
            action.add_argument("version", type=int, help="its number", **optional)  # type: ignore[arg-type]
        if function in ("list_models", "show_model"):
            action.add_argument("--json", action="store_true", help="as JSON")
        _add_store(action)
        action.set_defaults(act=partial(call, MODULE, function))


def _add_store(action: argparse.ArgumentParser) -> None:
    action.add_argument("--store", type=Path, default=Path("models"), metavar="DIR", help="of the models (models)")
