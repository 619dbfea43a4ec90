"""Loading of a version: the newest whose files all have the digests of its manifest."""

import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpcml.errors import HpcmlError
from hpcml.training.checkpoints.files import read_arrays, whole_files
from hpcml.training.checkpoints.surroundings import differences, surroundings
from hpcml.training.checkpoints.values import unpack_values
from hpcml.training.checkpoints.versions import candidates, read_manifest
from hpcml.training.rank_group import RankGroup

__all__ = ["Version", "VersionReader"]

log = logging.getLogger("hpcml")

_ATTEMPTS = 100  # of which one follows another only where a process has saved or removed a version meanwhile


class Version(NamedTuple):
    """Version that was loaded: its directory and manifest, the state in it, and what this rank has saved."""

    path: Path
    manifest: dict[str, Any]
    state: Any
    own: Any


class VersionReader:
    """Reader of the versions in a directory, for a group of ranks.

    ``damaged`` are the versions that rank 0 has passed over.
    """

    def __init__(self, directory: Path, group: RankGroup) -> None:
        self._directory = directory
        self._group = group
        self.damaged: set[Path] = set()

    def load(self) -> Version | None:
        """Return the best version that is whole; None where there is none at all.

        Raises
        ------
        HpcmlError
            All are damaged.
        """
        found: list[Path] = []
        for _ in range(_ATTEMPTS):
            with self._group.together():
                listed = candidates(self._directory) if self._group.rank == 0 else []
            before, found = found, self._group.gather(listed)[0]
            if not found:
                return None
            if found == before:
                break
            for path in found:
                version = self._load(path)
                if version is not None:
                    return version
        raise HpcmlError(
            f"no checkpoint in {self._directory} is whole: {', '.join(path.name for path in found)} are damaged. "
            "To begin anew, remove them, or give another directory"
        )

    def _load(self, path: Path) -> Version | None:
        """Return a version; None where it is damaged, or was removed while it was compared and read."""
        manifest, wrong = read_manifest(path)
        files = list(manifest.get("files", {}).items())
        wrong = wrong or whole_files(path, dict(files[self._group.rank :: self._group.size]))
        wrong = next(filter(None, self._group.gather(wrong)), "")
        if wrong:
            self._pass_over(path, wrong)
            return None
        version = None
        with self._group.together(), contextlib.suppress(FileNotFoundError):
            state, own = (_values(path, manifest, name) for name in ("state", f"rank-{self._group.rank}"))
            version = Version(path, manifest, state, own or {})
        return version if all(self._group.gather(version is not None)) else None

    def _pass_over(self, path: Path, wrong: str) -> None:
        """Note a version that is damaged, and log a warning; not for one that was removed meanwhile."""
        if self._group.rank > 0 or path not in (left := candidates(self._directory)):
            return
        self.damaged.add(path)
        others = [other.name for other in left if other not in self.damaged]
        then = f"{others[0]} is tried" if others else "there is no other"
        log.warning("the checkpoint %s is damaged (%s): %s", path, wrong, then)

    def warn_of_differences(self, version: Version) -> None:
        """Log a warning where a resumed program will round otherwise than the one that has saved the version."""
        ranks, size = version.manifest["ranks"], self._group.size
        found = [] if len(ranks) == size else [f"ranks: {len(ranks)} then, {size} now"]
        if self._group.rank < len(ranks):
            found += differences(ranks[self._group.rank], surroundings())
        all_found = list(dict.fromkeys(one for of_rank in self._group.gather(found) for one in of_rank))
        if all_found and self._group.rank == 0:
            log.warning(
                "the checkpoint %s is resumed with another number of ranks or threads, or other versions (%s): "
                "results differ in the last digits from those of an uninterrupted run",
                version.path,
                "; ".join(all_found),
            )


def _values(path: Path, manifest: Mapping[str, Any], name: str) -> Any:
    """Return the values that a file of a version holds; None where the version has no such file."""
    files = manifest["files"]
    if f"{name}.json" not in files:
        return None
    tree = json.loads((path / f"{name}.json").read_bytes())
    return unpack_values(tree, read_arrays(path / f"{name}.npy") if f"{name}.npy" in files else [])
