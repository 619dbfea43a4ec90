"""The name ``"hpcml"`` by which joblib finds the backend: registered when both are imported, in any order.

To import joblib takes 0.2 s, which programs without it, and those of the nodes, need not pay for.
"""

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcml.cluster.joblib.backend import HpcmlBackend

__all__ = ["register_backend"]

LIBRARY = "joblib"


def register_backend() -> None:
    """Have joblib find the backend under the name ``"hpcml"``, now or as soon as joblib has been imported."""
    if LIBRARY in sys.modules:
        importlib.import_module(LIBRARY)  # waits where another thread imports the module just now
        _register()
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _register() -> None:
    sys.modules[LIBRARY].register_parallel_backend("hpcml", _new_backend)


def _new_backend(**settings: Any) -> "HpcmlBackend":
    from hpcml.cluster.joblib.backend import HpcmlBackend

    return HpcmlBackend(**settings)


class _Finder(MetaPathFinder):
    """Finder of joblib, whose loader registers the backend afterwards."""

    _is_asking = False  # the other finders

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the specification of joblib that the other finders return, with a loader that registers."""
        if name != LIBRARY or self._is_asking:
            return None
        self._is_asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._is_asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader, self)
        return spec


class _RegisteringLoader(Loader):
    """Loader that has joblib loaded by joblib's own loader, and leaves no trace in the module."""

    def __init__(self, loader: Loader, finder: _Finder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the module that joblib's own loader makes."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Import joblib by its own loader, and register the backend."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        _register()
