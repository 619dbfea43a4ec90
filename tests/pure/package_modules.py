"""Modules of the package as syntax trees, for the tests of its architecture and conventions."""

import ast
from pathlib import Path

import hpcml

ROOT = Path(hpcml.__file__).parent
TOP = {"__init__", "__main__"}  # may import every folder


def modules():
    """Return {name: syntax tree} of all modules, without the name of the package."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = ast.parse(path.read_text())
    return found


MODULES = modules()


def run_time(tree):
    """Yield the nodes of a tree, without those for the type checker alone."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from run_time(node)


def imported(tree):
    """Yield every module that a tree imports, lazily or not."""
    for node in run_time(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
