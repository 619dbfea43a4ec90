"""The interpreter of a program that `hpcml run` runs: its Cluster, from before the first line to the last exit.

::

    main thread    order ─> run directory, journal ─┬─> the program … ─> its threads ─> its atexit ─> `_end`
    start thread                                   └─> workers ─> ready: the first use has waited for this

The end is registered with atexit before the program can register anything, and so comes last: threads that
outlive the main thread, and the program's own callbacks, still have the Cluster. After `_end` only
``sitecustomize._leave`` is left.
"""

import atexit
import os
import signal
import sys
from collections.abc import Mapping, Sequence
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

INTERRUPTED = 128 + signal.SIGINT  # an exit status, and no death by the signal: salloc takes that for success
_status: list[int] = []


def begin(order: Mapping[str, Any]) -> None:
    """Open the Cluster that `order` describes, and have joblib use it; end this process where that fails."""
    try:
        program = sys.orig_argv[-order["words"] :]
        options = Options.from_arguments({**order["options"], "preload": _preload(program)})
        session = Session(options, program, wait=False)  # its workers start meanwhile
        cluster = Cluster._from_session(session, options.max_nbytes)
        set_shared_session(session)
    except (HpcmlError, ValueError) as error:
        _say(f"hpcml: {error}")
        os._exit(1)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    make_default()
    serve()
    sys.excepthook = sys.__excepthook__ = _Hook(sys.excepthook, session).show
    atexit.register(_end, cluster, session, os.getpid())


def status() -> int:
    """Return the exit status that takes the place of Python's own; 0 where that holds."""
    return _status[-1] if _status else 0


def _preload(program: Sequence[str]) -> tuple[str, ...]:
    return preloads([*script_imports(program_source(program)), *sys.modules])


def program_source(program: Sequence[str]) -> str:
    """Return the source text of a program that Python's command line names; "" where there is none to read."""
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
    """Return the source of a module, or of a package's ``__main__``, without importing anything."""
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


class _Hook:
    """Shows an uncaught exception as Python does; an end of the Cluster's own in one line.

    Parameters
    ----------
    python
        What shows the others.
    """

    def __init__(self, python: Any, session: Session) -> None:
        self._python = python
        self._session = session

    def show(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Be ``sys.excepthook``."""
        if isinstance(error, OutOfTime) or self._session.start.has_failed_with(error):
            _say(f"hpcml: {error}")
        else:
            self._python(kind, error, trace)


def _say(line: str) -> None:
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def _end(cluster: Cluster, session: Session, process: int) -> None:
    """Close the Cluster: after what was submitted, or after an uncaught exception at once."""
    if os.getpid() != process:  # a child that was forked: the Cluster is its parent's
        return
    error = getattr(sys, "last_value", None)
    if session.start.unreported_error is not None:
        _say(f"hpcml: {session.start.unreported_error}")
    if isinstance(error, OutOfTime):
        _status.append(os.EX_TEMPFAIL)
    try:
        if isinstance(error, KeyboardInterrupt):
            _status.append(INTERRUPTED)
            session.print_line("hpcml: interrupted")
        cluster.shutdown(cancel_futures=error is not None)
        if error is None:
            finish()
    except KeyboardInterrupt:
        _status.append(INTERRUPTED)
        session.print_line("hpcml: interrupted")
