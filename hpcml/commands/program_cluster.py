"""Cluster of a program that `hpcml run` runs, from before the program's first line to after its last callback.

::

    main thread    order ─> run directory, journal ─┬─> the program … ─> its threads ─> its atexit ─> `_end`
    start thread                                    └─> workers ─> ready: the first use waits for this

`_end` is registered with atexit before the program can register a callback, and so is called after all of these:
threads that outlive the main thread, and the program's own callbacks, still have the Cluster. Only
``sitecustomize._leave`` is called after `_end`.
"""

import atexit
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path
from types import TracebackType
from typing import Any

from hpcml.cluster.cluster import Cluster
from hpcml.cluster.current import set_shared_session
from hpcml.cluster.ipyparallel.importing import serve as serve_ipyparallel
from hpcml.cluster.joblib.default import make_default
from hpcml.cluster.options import Options
from hpcml.cluster.scoop.import_path import finish, serve
from hpcml.cluster.served import open_session
from hpcml.cluster.session import Session
from hpcml.engines import own_ranks
from hpcml.engines.container import enter_container
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
        if order["inside"] is not None:
            enter_container(order["inside"])
        program = sys.orig_argv[-order["words"] :]
        options = _options(order["options"], script_imports(program_source(program)))
        if order["ranks"] > 1:
            session = _open_on_ranks(options, program, order["ranks"])
        else:
            session = Session(options, program, wait=False)  # the workers start while the program begins
        if order["measure"] is not None:
            session.running  # noqa: B018 - the start of the workers would slow down the program's own beginning
        cluster = Cluster._from_session(session, options.max_nbytes)
        set_shared_session(session)
    except (HpcmlError, ValueError) as error:
        _print_line(f"hpcml: {error}")
        os._exit(1)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    make_default()
    serve()
    serve_ipyparallel()
    sys.excepthook = sys.__excepthook__ = _ExceptionHook(sys.excepthook, session).show
    atexit.register(_end, cluster, session, os.getpid(), order["measure"])


def status() -> int:
    """Return the exit status that replaces Python's own; 0 where Python's own is right."""
    return _statuses[-1] if _statuses else 0


def _open_on_ranks(options: Options, program: Sequence[str], ranks: int) -> Session:
    """Open the session on the ranks of mpirun, on rank 0; any other rank serves it, and exits."""
    module = own_ranks()
    session = open_session(replace(options, comm=module.world(ranks)), program, wait=False)
    if isinstance(session, Session):
        return session
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    module.finalize()
    os._exit(0)  # the program is rank 0's


def _options(given: Mapping[str, Any], imports: Sequence[str]) -> Options:
    """Return the options of the Cluster for a program with these imports; its engine is that of its library."""
    options = Options.from_arguments({**given, "preload": preloads([*imports, *sys.modules])})
    needs_views = any(module.partition(".")[0] == "ipyparallel" for module in imports)
    return replace(options, engine="ipyparallel") if needs_views and options.engine == "auto" else options


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


def _write_measures(session: Session, path: str) -> None:
    """Write the times of a program, and the slots that it had, for `hpcml scaling`."""
    nodes = session.plan.nodes
    found = {
        "seconds": session.own_seconds,
        "start": session.start.waited,
        "tasks": session.ended_tasks,
        "slots": session.plan.slots,
        "used_cpus": sum(node.slots * node.cpus_per_slot for node in nodes),
        "cpus": session.plan.cpus,
        "nodes": len(nodes),
    }
    Path(path).write_text(json.dumps(found))


def _end(cluster: Cluster, session: Session, process: int, measure: str | None) -> None:
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
        if measure is not None:
            _write_measures(session, measure)
    except KeyboardInterrupt:
        _statuses.append(INTERRUPTED)
        session.print_line("hpcml: interrupted")
