"""Cluster of a program that `hpcml run` runs, from before the program's first line to after its last callback.

::

    main thread    order ─> run directory, journal ─┬─> the program … ─> its threads ─> its atexit ─> `_end`
    start thread                                    └─> workers ─> ready: the first use waits for this

`_end` is registered with atexit before the program can register a callback, and so is called after all of these:
threads that outlive the main thread, and the program's own callbacks, still have the Cluster. Only
``sitecustomize._leave`` is called after `_end`.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import TracebackType
from typing import Any

from hpcml.cluster.cluster import Cluster
from hpcml.cluster.current import set_shared_session
from hpcml.cluster.joblib.default import make_default
from hpcml.cluster.options import Options
from hpcml.cluster.scoop.import_path import finish, serve
from hpcml.cluster.session import Session
from hpcml.engines.plan import preloads, script_imports
from hpcml.errors import HpcmlError, OutOfTime

__all__ = ["begin", "program_source", "status"]

# An exit status, and no death by the signal, which salloc would take for success.
INTERRUPTED = 128 + signal.SIGINT
_statuses: list[int] = []

ExceptionHook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def begin(order: Mapping[str, Any]) -> None:
    """Open the Cluster that `order` describes, and make it joblib's default; exit where that fails."""
    try:
        program = sys.orig_argv[-order["words"] :]
        options = Options.from_arguments({**order["options"], "preload": _preload(program)})
        session = Session(options, program, wait=False)  # the workers start while the program begins
        cluster = Cluster._from_session(session, options.max_nbytes)
        set_shared_session(session)
    except (HpcmlError, ValueError) as error:
        _print_line(f"hpcml: {error}")
        os._exit(1)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    make_default()
    serve()
    sys.excepthook = sys.__excepthook__ = _ExceptionHook(sys.excepthook, session).show
    atexit.register(_end, cluster, session, os.getpid())


def status() -> int:
    """Return the exit status that replaces Python's own; 0 where Python's own is right."""
    return _statuses[-1] if _statuses else 0


def _preload(program: Sequence[str]) -> tuple[str, ...]:
    return preloads([*script_imports(program_source(program)), *sys.modules])


def program_source(program: Sequence[str]) -> str:
    """Return the source of a program that Python's command line names; "" where no source can be read."""
    try:
        if program[0] == "-c":
            return program[1]
        if program[0] == "-m":
            return _module_source(program[1])
        path = Path(program[0])
        if path.suffix == ".py" and path.is_file():
            return path.read_text(errors="replace")
        return _module_source("__main__", [str(path)]) or path.read_text(errors="replace")
    except (OSError, ImportError, SyntaxError, UnicodeDecodeError):
        return ""


def _module_source(name: str, path: Sequence[str] = ()) -> str:
    """Return the source of a module, or of a package's ``__main__``, without an import."""
    places: Sequence[str] | None = path or [os.getcwd(), *sys.path]
    spec = None
    for number in range(name.count(".") + 1):
        spec = PathFinder.find_spec(".".join(name.split(".")[: number + 1]), places)
        places = None if spec is None else spec.submodule_search_locations
        if spec is None or places is None:
            break
    if places is not None and name != "__main__":
        spec = PathFinder.find_spec(f"{name}.__main__", places)
    source = getattr(spec.loader, "get_source", None) if spec is not None else None
    return (source(spec.name) if source is not None and spec is not None else None) or ""


class _ExceptionHook:
    """Hook that prints one line for an end of the Cluster's own, and else an uncaught exception as Python does.

    Parameters
    ----------
    python_hook
        The hook for all other exceptions.
    """

    def __init__(self, python_hook: ExceptionHook, session: Session) -> None:
        self._python_hook = python_hook
        self._session = session

    def show(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Print an uncaught exception; see ``sys.excepthook``."""
        if isinstance(error, OutOfTime) or self._session.start.has_failed_with(error):
            _print_line(f"hpcml: {error}")
        else:
            self._python_hook(kind, error, trace)


def _print_line(line: str) -> None:
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def _end(cluster: Cluster, session: Session, process: int) -> None:
    """Close the Cluster, after all submitted calls; after an uncaught exception at once."""
    # A forked child calls this as well, and the Cluster is its parent's.
    if os.getpid() != process:
        return
    error = getattr(sys, "last_value", None)
    if session.start.unreported_error is not None:
        _print_line(f"hpcml: {session.start.unreported_error}")
    if isinstance(error, OutOfTime):
        _statuses.append(os.EX_TEMPFAIL)
    try:
        if isinstance(error, KeyboardInterrupt):
            _statuses.append(INTERRUPTED)
            session.print_line("hpcml: interrupted")
        cluster.shutdown(cancel_futures=error is not None)
        if error is None:
            finish()
    except KeyboardInterrupt:
        _statuses.append(INTERRUPTED)
        session.print_line("hpcml: interrupted")
