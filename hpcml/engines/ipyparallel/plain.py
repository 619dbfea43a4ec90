"""Plain Python process for tasks, within the kernel of an engine.

A kernel has a running event loop in the main thread, and a shell that libraries take for a notebook. Both are
hidden from tasks, and shown to the requests of ipyparallel's own views and magics.
"""

import builtins
import contextvars
import faulthandler
import sys
from asyncio import events
from collections.abc import Callable, Iterator, MutableMapping
from types import ModuleType
from typing import TypeVar, cast

__all__ = ["PlainProcess"]

Result = TypeVar("Result")
# Libraries look for these modules, to find out whether there is a notebook or a debugger.
_NOTEBOOK_MODULES = ("debugpy", "ipykernel", "ipykernel.zmqshell")
_MISSING = object()


class PlainProcess:
    """State of Python before there is a shell; made before the engine is initialized.

    ``is_hidden``: tasks see no shell at present.

    Parameters
    ----------
    environment
        Environment of this process; the shell's additions to it are removed.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._environment = environment
        self._variables = dict(environment)
        self._builtins = set(vars(builtins))
        self._path = list(sys.path)
        self._modules: dict[str, object] = dict.fromkeys(_NOTEBOOK_MODULES, _MISSING)
        self._modules["__main__"] = ModuleType("__main__")
        self._shell: list[tuple[object, str, object]] = []  # hidden attributes: their object, name and value
        self._has_begun = False
        self.is_hidden = False
        self._policy: object = None
        self._context = contextvars.Context()

    def run(self, task: Callable[[bytes], Result], frame: bytes) -> Result:
        """Call `task` as a plain process would: no running loop, loops and context variables of its own."""
        self.hide()
        loop = events._get_running_loop()
        policy = events._event_loop_policy  # type: ignore[attr-defined]
        hooks = sys.get_asyncgen_hooks()
        events._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        events._event_loop_policy = self._policy  # type: ignore[attr-defined]
        try:
            return self._context.run(task, frame)
        finally:
            self._policy = events._event_loop_policy  # type: ignore[attr-defined]
            events._event_loop_policy = policy  # type: ignore[attr-defined]
            events._set_running_loop(loop)
            sys.set_asyncgen_hooks(*hooks)

    def hide(self) -> None:
        """Hide the shell from tasks."""
        if self.is_hidden:
            return
        if not self._has_begun:
            self._has_begun = True
            self._restore_variables()
            sys.path[:] = self._path
            faulthandler.enable(2)  # as in loky's workers: a crash prints the task's traceback
        plain: list[tuple[object, str, object]] = [(sys, "displayhook", sys.__displayhook__)]
        plain += [(sys, "excepthook", sys.__excepthook__)]
        plain += [(sys, "stdout", sys.stdout), (sys, "stderr", sys.stderr)]  # `Streams.mend` sets those of tasks
        plain += [(sys, name, _MISSING) for name in ("ps1", "ps2", "ps3")]
        plain += [(builtins, name, _MISSING) for name in set(vars(builtins)) - self._builtins]
        plain += [(kind, "_instance", None) for kind in _singletons()]
        self._shell = [(place, name, vars(place).get(name, _MISSING)) for place, name, _ in plain]
        for place, name, value in plain:
            _set(place, name, value)
        self._exchange_modules()
        self.is_hidden = True

    def show(self) -> None:
        """Show the shell again."""
        if self.is_hidden:
            for place, name, value in self._shell:
                _set(place, name, value)
            self._exchange_modules()
            self.is_hidden = False

    def _exchange_modules(self) -> None:
        for name, module in self._modules.items():
            self._modules[name] = sys.modules.pop(name, _MISSING)
            if module is not _MISSING:
                sys.modules[name] = cast(ModuleType, module)

    def _restore_variables(self) -> None:
        for name in self._environment.keys() - self._variables.keys():
            del self._environment[name]
        self._environment.update(self._variables)


def _set(place: object, name: str, value: object) -> None:
    if value is not _MISSING:
        setattr(place, name, value)
    elif name in vars(place):
        delattr(place, name)


def _singletons() -> Iterator[type]:
    """Yield the classes of traitlets that have their one instance: shell, kernel, application."""
    configurable = sys.modules.get("traitlets.config.configurable")
    waiting = [configurable.SingletonConfigurable] if configurable is not None else []
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if vars(kind).get("_instance") is not None:
            yield kind
