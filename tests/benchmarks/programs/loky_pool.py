"""joblib's own pool of processes on this computer, without Slurm."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from joblib import parallel_config


class Pool:
    def __init__(self, slots: int) -> None:
        self.slots = slots

    def joblib(self) -> AbstractContextManager[Any]:
        return parallel_config("loky", n_jobs=self.slots)


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Give `slots` processes to joblib, which starts them with the first call."""
    yield Pool(slots)
