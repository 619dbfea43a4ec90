"""Things that are known by a name."""

import sys
from typing import Any

__all__ = ["is_found_by_name"]


def is_found_by_name(thing: Any) -> bool:
    """Tell whether a function or a class is an attribute of its module, which is not the script.

    Examples
    --------
    >>> import json
    >>> from hpcml.names import is_found_by_name
    >>> is_found_by_name(json.dumps), is_found_by_name(lambda: 1)
    (True, False)
    """
    module: Any = sys.modules.get(getattr(thing, "__module__", None) or "")
    if module is None or getattr(module, "__name__", "") == "__main__":
        return False
    for part in thing.__qualname__.split("."):
        module = getattr(module, part, None)
    return module is thing
