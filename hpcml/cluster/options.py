"""Options of a Cluster, checked."""

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """Options that a user may give to a Cluster; see `hpcml.Cluster`."""

    engine: str = "auto"
    slots_per_node: int | None = None
    cpus_per_slot: int | None = None
    min_slots: int | None = None
    timeout: float = 60.0
    retries: int = 3
    run_dir: Path | None = None
    preload: tuple[str, ...] | None = None
    progress: bool = True
    max_nbytes: int | None = 1 << 20
    data_dir: Path | None = None
    journal: bool | str = True
    resume: bool | Path = False
    requeue: bool = False
    task_timeout: float | None = None
    max_result_nbytes: int = 1 << 30

    def __post_init__(self) -> None:
        if self.journal not in (True, False, "required"):
            raise ValueError(f"Cluster(journal={self.journal!r}): it must be True, False or 'required'")
        if self.resume and not self.journal:
            raise ValueError("Cluster(resume=…, journal=False): what is resumed is what the journal holds")
        for name in ("slots_per_node", "cpus_per_slot", "min_slots", "retries", "max_result_nbytes"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"Cluster({name}={value!r}): it must be a whole number, 1 or more")
        if self.task_timeout is not None and not self.task_timeout > 0:
            raise ValueError(
                f"Cluster(task_timeout={self.task_timeout!r}): it must be a number of seconds above 0"
            )
        if not self.timeout > 0:
            raise ValueError(f"Cluster(timeout={self.timeout!r}): it must be a number of seconds above 0")
        if self.max_nbytes is not None and (not isinstance(self.max_nbytes, int) or self.max_nbytes < 0):
            raise ValueError(f"Cluster(max_nbytes={self.max_nbytes!r}): it must be a number of bytes, or None")
        if self.data_dir is not None and not (self.data_dir.is_dir() and os.access(self.data_dir, os.W_OK)):
            raise ValueError(f"Cluster(data_dir={str(self.data_dir)!r}) is not a directory that you can write to")
