"""Opens the Cluster of `hpcml run` in the interpreter that is about to run the user's program.

Python imports this module before the program, which is then run by Python itself: as a script, by ``-m`` or
``-c``, from standard input, from a directory or a zip file. Nothing of this library is beneath its frames.
"""

import importlib
import os
import sys

__all__: list[str] = []

ORDER = "HPCML_RUN"


def _begin(text: str) -> None:
    """Undo what brought Python here, let the site's own customization happen, and open the Cluster."""
    import atexit
    import json

    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # of a closed stream, and no place for a pipe of ours
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
    sys.path.append(root)  # Python may have found this library in a folder that the program does not search
    from hpcml.commands.program_cluster import begin

    sys.path.remove(root)
    begin(order)
    if failed is not None:
        raise failed


def _customize_site() -> Exception | None:
    """Import the sitecustomize that this one has taken the place of; return what Python would say of it."""
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
    """Exit with the status that `hpcml run` promises, where that is another than Python's own."""
    running = sys.modules.get("hpcml.commands.program_cluster")
    if running is not None and running.status() and os.getpid() == process:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(running.status())


if ORDER in os.environ:
    _begin(os.environ.pop(ORDER))
