"""Opens the Cluster of `hpcml run` in the interpreter that is about to run the user's program.

Python imports this module before the program, and then runs the program itself: as a script, by ``-m`` or ``-c``,
from standard input, from a directory or a zip file. No frame of this library is beneath those of the program.
"""

import importlib
import os
import sys

__all__: list[str] = []

ORDER = "HPCML_RUN"


def _begin(text: str) -> None:
    """Restore the environment, import the site's own customization, and open the Cluster."""
    import atexit
    import json

    # The number of a closed standard stream must not become that of a pipe of this library.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    order = json.loads(text)
    for name, value in order["environment"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    atexit.register(_leave, os.getpid())  # the first to be registered is the last to be called
    failed = _customize_site()
    root = os.path.abspath(__file__).rsplit(os.sep, 4)[0]
    sys.path.append(root)  # this library may be in a folder that the program's path does not name
    if "rank" in order:
        from hpcml.commands.torch.here import join_ranks

        join_ranks(os.environ)
        sys.path.remove(root)
    else:
        from hpcml.commands.program_cluster import begin

        sys.path.remove(root)
        begin(order)
    if failed is not None:
        raise failed


def _customize_site() -> Exception | None:
    """Import the sitecustomize that this one hides; return its error, if Python would report one."""
    folder = os.path.dirname(__file__)
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    ours = sys.modules.pop("sitecustomize")
    try:
        importlib.import_module("sitecustomize")
    except ImportError as error:
        return None if error.name == "sitecustomize" else error
    except Exception as error:
        return error
    finally:
        sys.modules.setdefault("sitecustomize", ours)
    return None


def _leave(process: int) -> None:
    """Exit with the status that `hpcml run` promises, where Python's own differs."""
    program = sys.modules.get("hpcml.commands.program_cluster")
    if program is not None and program.status() and os.getpid() == process:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(program.status())


if ORDER in os.environ:
    _begin(os.environ.pop(ORDER))
