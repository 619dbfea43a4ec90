"""Random generators of a process, and the numbers of threads and versions on which its rounding depends."""

import platform
import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["differences", "random_state", "restore_random_state", "surroundings"]


def random_state() -> dict[str, Any]:
    """Return the states of the generators behind `random`, `numpy.random` and, where it is loaded, torch.

    Examples
    --------
    >>> import random
    >>> from hpcml.training.checkpoints.surroundings import random_state, restore_random_state
    >>> state = random_state()
    >>> first = random.random()
    >>> restore_random_state(state)
    >>> random.random() == first
    True
    """
    found: dict[str, Any] = {"python": random.getstate(), "numpy": np.random.get_state(legacy=False)}
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["cuda"] = torch.cuda.get_rng_state_all()
    return found


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators of this process into the states that `random_state` has returned; torch's if loaded."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in state:
        torch.set_rng_state(state["torch"])
        if "cuda" in state and torch.cuda.device_count() == len(state["cuda"]):
            torch.cuda.set_rng_state_all(state["cuda"])


def surroundings() -> dict[str, str | int]:
    """Return versions, and numbers of threads: a sum of two threads differs from that of one in the last digits.

    Source: measured with torch 2.13 and OpenBLAS; runs with one number of threads are equal to the bit.
    """
    from threadpoolctl import threadpool_info

    found: dict[str, str | int] = {"python": platform.python_version(), "numpy": np.__version__}
    threads = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    found["threads of numpy"] = max(threads, default=1)
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = str(torch.__version__)
        found["threads of torch"] = torch.get_num_threads()
    return found


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs in the surroundings of a checkpoint, of the names that both have.

    Examples
    --------
    >>> from hpcml.training.checkpoints.surroundings import differences
    >>> differences({"numpy": "2.1.0", "threads of numpy": 1}, {"numpy": "2.1.0", "threads of numpy": 2})
    ['threads of numpy: 1 then, 2 now']
    """
    return [
        f"{name}: {then[name]} then, {now[name]} now" for name in then if now.get(name, then[name]) != then[name]
    ]
