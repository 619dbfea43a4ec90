"""joblib's own pool of processes on this computer, without Slurm."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from joblib import Parallel, delayed, parallel_config


class Pool:
    def __init__(self, slots: int) -> None:
        self.slots = slots

    def each(self, function: Callable[[int], Any]) -> list[Any]:
        """Call `function` as often as there are processes, which need not all get a call."""
        return Parallel(n_jobs=self.slots)(delayed(function)(number) for number in range(self.slots))

    def joblib(self, *_: Any) -> AbstractContextManager[Any]:
        return parallel_config("loky", n_jobs=self.slots)


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Give `slots` processes to joblib, which starts them with the first call."""
    yield Pool(slots)
