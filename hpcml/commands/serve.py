"""``hpcml serve``: scores the items of a stream, or of a directory, on the workers of a Cluster."""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import ExitStack
from types import FrameType
from typing import Any

from hpcml.cluster.cluster import Cluster
from hpcml.commands.model_parsers import CLUSTER_OPTIONS
from hpcml.errors import HpcmlError
from hpcml.models import ModelStore
from hpcml.serving.batches import Batches
from hpcml.serving.directories import Directories
from hpcml.serving.follower import Served
from hpcml.serving.items import Source
from hpcml.serving.redis_stream import RedisStream
from hpcml.serving.redis_url import VARIABLE, find_url
from hpcml.serving.server import Server

__all__ = ["serve_model"]

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def serve_model(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Serve a model until a signal comes, and return the exit status.

    Raises
    ------
    HpcmlError
        The model cannot be loaded, the source cannot be used or is gone, or the workers are gone.
    """
    signals = _Signals()
    served = Served(
        ModelStore(arguments.store),
        arguments.name,
        arguments.version,
        _function(arguments.function),
        arguments.method,
        arguments.trust or (),
    )
    scorer = served.load(served.wanted())  # before the workers are forked, so that they have its libraries already
    source = _source(arguments, environment)
    options = {name: getattr(arguments, name) for name in CLUSTER_OPTIONS}
    with ExitStack() as stack:
        stack.callback(source.close)
        cluster = stack.enter_context(
            Cluster(**options, retries=1, journal=False, progress=False, max_nbytes=None)
        )
        batches = Batches(arguments.batch, arguments.wait)
        server = Server(
            served, scorer, cluster, source, batches, interval=arguments.interval, print_line=_print_line
        )
        slots = f"{cluster.slots} slot{'s' if cluster.slots > 1 else ''}"
        _print_line(f"serving {arguments.name} on {slots}, {_whence(arguments, source)}")
        signals.act = server.stop
        _print_line(server.run().closing_line())
    return 0


class _Signals:
    """Handlers of the signals that end the server: first with all items that were read, then at once."""

    def __init__(self) -> None:
        self.act: Callable[[str], object] | None = None
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        for ending in SIGNALS:
            signal.signal(ending, signal.SIG_DFL)
        if self.act is None:
            sys.exit(128 + number)
        self.act(signal.Signals(number).name)


def _function(name: str | None) -> Callable[[Any, Any], Any] | None:
    """Return the function that ``MODULE:FUNCTION`` names; modules of the working directory are found."""
    if name is None:
        return None
    module, _, function = name.partition(":")
    if not module or not function:
        raise HpcmlError(f"--function {name}: write MODULE:FUNCTION, as in  --function scoring:score")
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise HpcmlError(f"--function {name} cannot be used in {os.getcwd()}: {error}") from error
    if not callable(found):
        raise HpcmlError(f"--function {name} is no function: it is a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _source(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Source:
    if (arguments.stream is None) == (arguments.inbox is None):
        raise HpcmlError("name the source of the items: --stream NAME of Redis, or --inbox DIR with --outbox DIR")
    if arguments.inbox is not None:
        if arguments.outbox is None:
            raise HpcmlError("the results of an inbox need a directory: --outbox DIR")
        return Directories(arguments.inbox, arguments.outbox)
    if "://" in arguments.stream:
        raise HpcmlError(
            f"--stream is a name; the URL of Redis belongs into {VARIABLE}, where no user can read it"
        )
    url = find_url(environment, arguments.redis_file)
    if isinstance(environment, MutableMapping):
        environment.pop(VARIABLE, None)  # the workers have no use for the password
    return RedisStream(url, arguments.stream, arguments.group, arguments.claim, arguments.keep)


def _whence(arguments: argparse.Namespace, source: Source) -> str:
    if isinstance(source, RedisStream):
        return f"items of the stream {arguments.stream} of Redis at {source.address}"
    return f"items of {arguments.inbox}"


def _print_line(text: str) -> None:
    print(f"hpcml: {text}", flush=True)
