"""Traits of a process that a task can see: sent to workers, and compared with those of plain Python."""

import asyncio
import builtins
import faulthandler
import gc
import io
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings

FLAGS = sorted(name for name in vars(type(sys.flags)) if not name.startswith(("_", "n_", "count", "index")))
OURS = ("OMP_", "OPENBLAS_", "MKL_", "BLIS_", "VECLIB_", "NUMBA_", "NUMEXPR_", "LOKY_", "SLURM_", "PYTEST_")


def traits(_=None):
    """Return the traits of this process by name; all are equal in two plain processes."""
    return {**_streams(), **_signals(), **_shell(), **_event_loop(), **_process(), **_child()}


def _streams():
    found = {"the originals": (sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)}
    for name in ("stdout", "stderr"):
        file = getattr(sys, name)
        found[f"{name} type"] = type(file).__name__, type(file.buffer).__name__, file.buffer.mode
        found[f"{name} about"] = file.name, file.mode, file.encoding, file.errors, file.isatty(), file.fileno()
        found[f"{name} flags"] = file.writable(), file.readable(), file.closed, file.newlines, file.write_through
        found[f"{name} is a file"] = isinstance(file, io.TextIOWrapper)
    found["stdin"] = sys.stdin.read()
    found["fd 0"] = os.read(0, 10)
    found["inheritable"] = [os.get_inheritable(number) for number in (0, 1, 2)]
    return found


def _signals():
    handlers = {signum.name: _handler(signal.getsignal(signum)) for signum in signal.Signals}
    return {
        "signals": handlers,
        "signal mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "wakeup": _wakeup(),
        "ignored": _status("SigIgn"),
        "blocked": _status("SigBlk"),
        "caught": int(_status("SigCgt"), 16) & 0x7FFFFFFF,  # the C library's own are for threads
    }


def _wakeup():
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    return descriptor


def _handler(handler):
    return getattr(handler, "__qualname__", None) or getattr(handler, "name", None) or repr(handler)


def _status(name):
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith(name + ":"))


def _shell():
    found = {"builtins": sorted(set(vars(builtins)) - {"_"})}
    try:
        from IPython import get_ipython

        found["get_ipython"] = get_ipython()
    except ImportError:
        found["get_ipython"] = None
    found["hooks"] = [_handler(getattr(sys, name)) for name in ("displayhook", "excepthook", "unraisablehook")]
    found["thread hook"] = _handler(threading.excepthook)
    found["ps1"] = [hasattr(sys, name) for name in ("ps1", "ps2", "last_type", "tracebacklimit")]
    found["interactive"] = sys.flags.interactive, sys.flags.inspect
    found["environment"] = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    found["notebook"] = "ipykernel" in sys.modules, "debugpy" in sys.modules
    import matplotlib

    found["matplotlib"] = matplotlib.get_backend().lower(), matplotlib.is_interactive()
    import tqdm.auto
    import tqdm.autonotebook

    found["tqdm"] = tqdm.auto.tqdm.__mro__[1].__module__
    return found


def _event_loop():
    async def twice(value):
        await asyncio.sleep(0)
        return 2 * value

    found = {"run": asyncio.run(twice(2)), "running": asyncio._get_running_loop()}
    with asyncio.Runner() as runner:
        found["runner"] = runner.run(twice(3))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    found["own loop"] = asyncio.get_event_loop() is loop and loop.run_until_complete(twice(4))
    asyncio.set_event_loop(None)
    loop.close()
    found["policy"] = type(asyncio.get_event_loop_policy()).__name__
    found["asyncgen hooks"] = tuple(sys.get_asyncgen_hooks())
    return found


def _process():
    return {
        "main thread": threading.current_thread() is threading.main_thread(),
        "thread name": threading.current_thread().name,
        "daemon": multiprocessing.current_process().daemon,
        "start method": multiprocessing.get_start_method(allow_none=True),
        "flags": dict(zip(FLAGS, map(sys.flags.__getattribute__, FLAGS), strict=True)),
        "recursion limit": sys.getrecursionlimit(),
        "switch interval": sys.getswitchinterval(),
        "trace": (sys.gettrace(), sys.getprofile(), threading.gettrace()),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_debug()),
        "int digits": sys.get_int_max_str_digits(),
        "dont_write_bytecode": sys.dont_write_bytecode,
        "nice": os.nice(0),
        "umask": _status("Umask"),
        "limits": [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"],
        "faulthandler": faulthandler.is_enabled(),
        "logging": (logging.getLogger().level, logging.getLogger().handlers, logging.raiseExceptions),
        "warnings": [(what[0], what[2].__name__, what[4]) for what in warnings.filters],
        "cwd": os.getcwd(),
        "debugger": sys.breakpointhook is sys.__breakpointhook__,
        "argv": sys.argv,
        "path": sys.path,
        "main": sorted(vars(sys.modules["__main__"])),
        "threads": [thread.name for thread in threading.enumerate() if not thread.daemon],
        "group": os.getpgrp() == os.getpid(),
        "session": os.getsid(0) == os.getpid(),
        "priority": os.sched_getscheduler(0),
    }


def _child():
    code = (
        "import os, signal\n"
        "print([signal.getsignal(number) for number in (15, 17, 13, 2)], signal.pthread_sigmask(0, []))\n"
        "print(len(os.listdir('/proc/self/fd')), os.environ.get('MPLBACKEND'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return {"child": done.stdout + done.stderr}
