"""Runner of programs, one after the other, with one executor: ``runner.py EXECUTOR PLACE``; see `programs.Driver`.

Each line of standard input is a request (JSON): the program's source, its folder, and for the executor ``resumed``
how many executions there are before its driver is killed. The answer, a line too, holds what the program's maps
have given. All else that is printed, here and by the workers, goes to PLACE/output.
"""

import contextlib
import ctypes
import io
import json
import linecache
import logging
import os
import signal
import sys
import time
import traceback
import types
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from canonical import Canonical
from executors import Executor, Outcome, isolated, loky, on_cluster, serial

LINE = 8  # bytes that an execution leaves in a program's log


class Program:
    """One program, and its observations."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.place = Path(request["place"])
        self.source = request["source"]
        self.maps: list[dict[str, Any]] = []
        self.trouble: str | None = None
        self.known = 0
        self._tag = request["tag"]

    def answer(self) -> dict[str, Any]:
        """Return the observations."""
        return {"maps": self.maps, "trouble": self.trouble, "known": self.known}

    def execute(self, executor: Executor | None) -> None:
        """Run the source as ``__main__``; without an executor, as `executors.isolated`."""
        path = self.place / "program.py"
        path.write_text(self.source)
        module = types.ModuleType("__main__")
        namespace = vars(module)
        namespace.update(__file__=str(path), LOG=str(self.place / "log"), RUN=self._tag)
        namespace["run"] = partial(self._run, executor, namespace)
        before, environment, here = sys.modules["__main__"], dict(os.environ), os.getcwd()
        sys.modules["__main__"] = module
        work = self.place / "work"
        work.mkdir(exist_ok=True)
        os.chdir(work)
        mask = os.umask(0o22)
        try:
            exec(compile(self.source, str(path), "exec"), namespace)
        except BaseException:
            self.trouble = traceback.format_exc()
        finally:
            os.chdir(here)
            os.umask(mask)
            os.environ.clear()
            os.environ.update(environment)
            sys.modules["__main__"] = before
            linecache.clearcache()

    def _run(  # noqa: PLR0917
        self, executor: Executor | None, namespace: dict[str, Any], api: str, function: Any, ids: Any, xs: Any
    ) -> list[Any]:
        try:
            if executor is None:
                outcomes = isolated(lambda error: Canonical(namespace).of(error), function, ids, xs)
            else:
                outcomes = executor(api, function, ids, xs)
        except Exception as error:  # of the input
            outcomes = [Outcome(None, error)]
        whole = Canonical(namespace)
        values, errors, results = [], [], []
        for number, (value, error, text) in enumerate(outcomes):
            if error is not None or text is not None:
                errors.append([number, text or Canonical(namespace).of(error)])
            if errors and api != "submit":
                continue
            failed = error is not None or text is not None
            values.append(None if failed else whole.of(value))
            results.append(value)
        if errors and api.startswith("parallel"):
            results = []  # the number of results depends on time
        state = Canonical(namespace, own=False).state()
        self.maps.append({"api": api, "ids": list(ids), "values": values, "errors": errors, "state": state})
        return results


def run_resumed(request: dict[str, Any]) -> dict[str, Any]:
    """Run a program in a driver of its own that is killed, and again in another one that resumes."""
    log = Path(request["place"], "log")
    child = _start(request)
    until = time.monotonic() + 60
    while _size(log) < request["cut"] * LINE and not _ended(child) and time.monotonic() < until:
        time.sleep(0.0005)
    _kill(child)
    if log.exists():
        log.rename(log.with_name("log-first"))
    answer = Path(request["place"], "answer")
    answer.unlink(missing_ok=True)
    child = _start(request)
    until = time.monotonic() + 60
    while not _ended(child) and time.monotonic() < until:
        time.sleep(0.001)
    _kill(child)
    if not answer.exists():
        return {"maps": [], "known": 0, "trouble": "the driver that resumes has not ended in order within 60 s"}
    return dict(json.loads(answer.read_text()))


def _start(request: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # with the process that has forked this one
        program = Program(request)
        settings = {"slots_per_node": 2, "run_dir": program.place / "runs", "resume": True, "progress": False}
        import hpcml

        with hpcml.Cluster("local", **settings) as cluster:
            program.known = cluster._session.run_journal.reusable
            program.execute(on_cluster(cluster))
        (program.place / "answer").write_text(json.dumps(program.answer()))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(child: int) -> None:
    """End a driver and its workers, as a crash of the node does; resource trackers end by themselves."""
    import psutil

    driver = psutil.Process(child)
    with contextlib.suppress(psutil.Error):
        driver.suspend()
    workers = driver.children(recursive=True)
    driver.kill()
    os.waitpid(child, 0)
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            if not any("resource_tracker" in word for word in worker.cmdline()):
                worker.kill()
    psutil.wait_procs(workers, timeout=10)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def open_executor(name: str, place: Path) -> Iterator[Executor | None]:
    """Return the executor of a name, for the calls of the programs."""
    if name in ("local", "ipyparallel"):
        import hpcml

        with hpcml.Cluster(name, slots_per_node=2, run_dir=place / "runs", progress=False) as cluster:
            yield on_cluster(cluster)
    else:
        yield {"serial": serial, "loky": loky, "isolated": None, "resumed": None}[name]


def serve(name: str, place: Path, requests: io.TextIOBase, answers: io.TextIOBase) -> None:
    """Answer requests until there are no more."""
    with open_executor(name, place) as executor:
        print("ready", file=answers, flush=True)
        for line in requests:
            request = json.loads(line)
            if name == "resumed":
                answer = run_resumed(request)
            else:
                program = Program(request)
                program.execute(executor)
                answer = program.answer()
            sys.stdout.flush()
            print(json.dumps(answer), file=answers, flush=True)


def main(name: str, place: str) -> None:
    """Keep the pipes of the requests apart, and serve."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    output = os.open(f"{place}/output", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if name == "resumed":
        import hpcml  # noqa: F401  once for all drivers
    serve(name, Path(place), requests, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
