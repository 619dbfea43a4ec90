"""The script of `hpcml run --engine scoop`, which SCOOP's root task runs as ``__main__``."""

import builtins
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

__all__ = ["INTERRUPTED", "run_as_main"]

INTERRUPTED = 130  # exit status, as a shell has it


def run_as_main(script: Path) -> int:
    """Run a script as Python would, as ``__main__`` and with its own traceback; return its exit status."""
    if not sys.flags.safe_path:
        sys.path[0] = str(script.resolve().parent)  # in place of the folder of `hpcml run`
    main = ModuleType("__main__")
    main.__dict__.update(__file__=str(script), __builtins__=builtins, __annotations__={}, __cached__=None)
    main.__loader__ = SourceFileLoader("__main__", str(script))
    sys.modules["__main__"] = main
    try:
        exec(compile(script.read_bytes(), str(script), "exec", dont_inherit=True), main.__dict__)
    except SystemExit as leaving:
        return _exit_status(leaving.code)
    except KeyboardInterrupt:
        print("hpcml: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BaseException as error:
        traceback.print_exception(_without_runner(error))
        return 1
    return 0


def _exit_status(code: object) -> int:
    """Return the status that the interpreter gives to ``sys.exit(code)``; print a code that is no number."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _without_runner(error: BaseException) -> BaseException:
    """Return an error without this module's own lines at the top of the traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return error.with_traceback(trace)
