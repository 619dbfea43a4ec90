"""Parsers of ``hpcml models`` and ``hpcml serve``."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hpcml.cluster.options import Options, flags
from hpcml.commands.argument_types import seconds, whole_number

__all__ = ["CLUSTER_OPTIONS", "add_models", "add_serve"]

Call = Callable[..., int]
"""Imports a module and calls a function of it with the arguments; see `hpcml.commands.main`."""

MODULE = "hpcml.commands.models"
CLUSTER_OPTIONS = ("engine", "slots_per_node", "cpus_per_slot", "max_slots", "timeout", "run_dir", "task_timeout")
_SECONDS = seconds(0, 366 * 86_400.0)


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


def add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", call: Call) -> None:
    """Add ``hpcml serve``."""
    serve = commands.add_parser(
        "serve",
        help="score the items of a stream with a model, in micro-batches on all slots",
        epilog="The URL of Redis is read from the variable HPCML_REDIS_URL, or from --redis-file.",
    )
    serve.add_argument("name", help="of the model")
    _add_store(serve)
    serve.add_argument("--version", type=int, metavar="N", help="this version; by default the one in use, always")
    serve.add_argument("--function", metavar="MODULE:NAME", help="function(model, batch) instead of a method")
    serve.add_argument("--method", default="predict", metavar="NAME", help="of the model, for a batch (predict)")
    serve.add_argument("--trust", nargs="+", metavar="TYPE", help="types of the model that are not scikit-learn's")
    _add_source(serve.add_argument_group("source"))
    pace = serve.add_argument_group("pace")
    pace.add_argument(
        "--batch", type=whole_number(1), default=64, metavar="N", help="items scored together at most (64)"
    )
    pace.add_argument("--wait", type=_SECONDS, default=0.005, metavar="S", help="of an item for others (0.005)")
    pace.add_argument("--interval", type=_SECONDS, default=10.0, metavar="S", help="from line to line (10)")
    workers = serve.add_argument_group("workers")
    for name, flag in flags().items():
        if name in CLUSTER_OPTIONS:
            option = f"--{name.replace('_', '-')}"
            default = getattr(Options, name)
            convert = flag.convert or str
            workers.add_argument(option, type=convert, default=default, metavar=flag.metavar, help=flag.help)
    serve.set_defaults(act=partial(call, "hpcml.commands.serve", "serve_model"))


def _add_source(source: "argparse._ArgumentGroup") -> None:
    source.add_argument("--stream", metavar="NAME", help="of Redis; results are in NAME:result:ID")
    source.add_argument("--redis-file", type=Path, metavar="FILE", help="of mode 0600, with the URL of Redis")
    source.add_argument("--group", default="hpcml", metavar="NAME", help="consumer group of the stream (hpcml)")
    source.add_argument("--claim", type=_SECONDS, default=10.0, metavar="S", help="after a server's death (10)")
    source.add_argument(
        "--keep", type=_SECONDS, default=86_400.0, metavar="S", help="a result for so long (a day)"
    )
    source.add_argument("--inbox", type=Path, metavar="DIR", help="instead of a stream: a file for each item")
    source.add_argument("--outbox", type=Path, metavar="DIR", help="of the results of an inbox")
