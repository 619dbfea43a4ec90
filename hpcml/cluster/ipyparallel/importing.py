"""Import of ipyparallel by a program of `hpcml run`: its parts are replaced after it, and nothing before."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

__all__ = ["AfterImport", "serve"]

LIBRARY = "ipyparallel"


def serve() -> None:
    """Replace the parts of ipyparallel that programs of this process use, now or when it is imported."""
    if LIBRARY in sys.modules:
        _replace()
    else:
        sys.meta_path.insert(0, AfterImport(LIBRARY, _replace))


def _replace() -> None:
    from hpcml.cluster.ipyparallel.parts import replace_parts

    replace_parts()


class AfterImport(MetaPathFinder):
    """Finder that calls a function when a module has been imported, once.

    Parameters
    ----------
    name
        Name of the module.
    then
        Called when the module has been executed.
    """

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's own spec, with a loader that calls the function after the module's own."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _LoaderWithMore(spec.loader, self._then)
        return spec


class _LoaderWithMore(Loader):
    """The loader of a module, and a call after it."""

    def __init__(self, loader: Loader, then: Callable[[], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as its own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, whose loader is then its own again, and call the function."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
