"""The end of the main thread, as `concurrent.futures` sees it: before Python waits for the other threads."""

import platform
import threading
from collections.abc import Callable
from typing import Any

from hpcml.errors import HpcmlError

__all__ = ["call_at_its_end"]


def call_at_its_end(callback: Callable[..., object], *args: Any) -> None:
    """Call ``callback(*args)`` when the main thread ends, before all callbacks that were registered earlier.

    `atexit` comes later: it waits for the threads of executors, and so for the end of their work.

    Raises
    ------
    HpcmlError
        This version of Python cannot do that.
    """
    register = getattr(threading, "_register_atexit", None)
    if register is None:
        raise HpcmlError(
            f"Python {platform.python_version()} has no threading._register_atexit: hpcml works with Python 3.11 "
            "to 3.13. Run this program with one of these"
        )
    register(callback, *args)
