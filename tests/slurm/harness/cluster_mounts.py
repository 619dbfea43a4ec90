"""Files of this computer that are mounted on the nodes of a release with a root of its own."""

import os
import re
import sys
from pathlib import Path

import cluster_root
from cluster_conf import Shape
from cluster_needs import own_release

REPOSITORY = Path(__file__).resolve().parents[3]


def commands(shape: Shape, state: Path) -> tuple[str, list[list[str]]]:
    """Return the root directory for the login node, and the commands that mount it in the node's namespace.

    The root is Debian 13's under a layer in memory: writes do not reach the kept copy, and vanish with the
    namespace.
    """
    if shape.release == own_release():
        return "/", []
    layer, lower = state / "layer", cluster_root.debian13()
    root = layer / "root"
    made = [["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(layer)],
            ["mkdir", str(layer / "upper"), str(layer / "work"), str(root)],
            ["mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={layer}/upper,workdir={layer}/work",
             "overlay", str(root)]]
    for name in ("proc", "sys", "dev"):
        made.append(["mount", "--rbind", f"/{name}", f"{root}/{name}"])
    for path in _without_inner([REPOSITORY, state, Path("/tmp"), *map(Path, shape.binds), *python_paths()]):
        target = f"{root}{path}"
        made.append(["mkdir", "-p", target if path.is_dir() else os.path.dirname(target)])
        if not path.is_dir():
            made.append(["touch", target])
        made.append(["mount", "--bind", str(path), target])
        if re.fullmatch(r"/usr/bin/python3\.\d+", str(path)):
            # A virtual environment of that interpreter uses this link.
            made.append(["ln", "-sfn", path.name, f"{root}/usr/bin/python3"])
    return str(root), made


def _without_inner(paths: list[Path]) -> list[Path]:
    """Return the paths that exist, without those inside another one."""
    found = sorted({path for path in paths if path.exists()})
    return [path for path in found if not any(other in path.parents for other in found)]


def python_paths() -> list[Path]:
    """Return the files of the tests' Python interpreters and of their virtual environments."""
    paths = _base_paths(Path(sys.base_prefix), f"{sys.version_info.major}.{sys.version_info.minor}")
    for prefix in {sys.prefix, os.environ.get("VIRTUAL_ENV", sys.prefix), str(REPOSITORY / ".venv")}:
        settings = Path(prefix, "pyvenv.cfg")
        if settings.exists():
            pairs = dict(line.partition("=")[::2] for line in settings.read_text().splitlines())
            values = {key.strip(): value.strip() for key, value in pairs.items()}
            version = ".".join(values.get("version", values.get("version_info", "")).split(".")[:2])
            paths += [Path(prefix), *_base_paths(Path(values["home"]).parent, version)]
    return paths


def _base_paths(base: Path, version: str) -> list[Path]:
    """Return the files of an interpreter; below /usr its own alone, for the release has other files there."""
    if base == Path("/usr"):
        return [Path(f"/usr/bin/python{version}"), Path(f"/usr/lib/python{version}")]
    return [base, base.resolve()]
