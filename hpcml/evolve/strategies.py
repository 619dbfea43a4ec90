"""State of the objects behind a toolbox: strategies such as CMA-ES, and selections with a memory."""

import contextlib
import copy
import copyreg
import functools
import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.evolve.interface import Toolbox

__all__ = ["check_strategies", "get_strategies", "own_selections", "set_strategies"]

STRATEGIES = ("generate", "update")
# Only callable objects count here, not the owners of methods: such an owner may be the whole program.
SELECTIONS = ("select", "replace")


def check_strategies(toolbox: Toolbox) -> None:
    """Raise unless the strategy that generates is found: its state must be in the checkpoint.

    Raises
    ------
    ValueError
        The strategy is called by a lambda or another function of the script.
    """
    if not any(_owner(getattr(toolbox, name, None)) is not None for name in STRATEGIES):
        raise ValueError(
            "toolbox.generate and toolbox.update belong to no object whose state a checkpoint can hold: "
            'register its bound methods, as in toolbox.register("generate", strategy.generate, creator.Row) '
            'and toolbox.register("update", strategy.update), or give no checkpoint'
        )


def get_strategies(toolbox: Toolbox, names: Sequence[str] = STRATEGIES + SELECTIONS) -> list[tuple[str, Any]]:
    """Return the class name and the state of each object behind these functions of a toolbox."""
    return [(type(owner).__qualname__, _state(owner)) for owner in _owners(toolbox, names)]


def set_strategies(
    toolbox: Toolbox, saved: list[tuple[str, Any]], where: Any, names: Sequence[str] = STRATEGIES + SELECTIONS
) -> None:
    """Give the objects behind a toolbox the state that `get_strategies` returned.

    Parameters
    ----------
    where
        The place that the state was saved in, for the message.

    Raises
    ------
    HpcmlError
        The toolbox has objects of other classes.
    """
    owners = _owners(toolbox, names)
    saved_names = [name for name, _ in saved]
    names_here = [type(owner).__qualname__ for owner in owners]
    if saved_names != names_here:
        raise HpcmlError(
            f"{where} holds the state of {_listed(saved_names)}, and the methods in this toolbox belong to "
            f"{_listed(names_here)}: register what was registered then, or remove the file to begin anew"
        )
    for owner, (_, state) in zip(owners, saved, strict=True):
        _set_state(owner, state)


@contextlib.contextmanager
def own_selections(toolbox: Toolbox, saved: list[tuple[str, Any]] | None) -> Iterator[Callable[[], Any]]:
    """Give the selections with a memory a state of their own within the ``with`` block, and restore them after it.

    Yields a function that returns their state at that moment. Selections that cannot be copied, as with a lock or
    an open file, are shared as they are; the function then returns None.

    Parameters
    ----------
    saved
        A state that the function returned; None: the present state.
    """
    before = get_strategies(toolbox, SELECTIONS)
    own = None
    with contextlib.suppress(Exception):
        own = copy.deepcopy(before if saved is None else saved)
    if own is None:
        yield lambda: None
        return
    set_strategies(toolbox, own, "the island", SELECTIONS)
    try:
        yield lambda: get_strategies(toolbox, SELECTIONS)
    finally:
        set_strategies(toolbox, before, "the toolbox", SELECTIONS)


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "no object"


def _owners(toolbox: Toolbox, names: Sequence[str]) -> list[Any]:
    """Return the objects behind these functions of a toolbox, each once."""
    found = [_owner(getattr(toolbox, name, None), methods=name in STRATEGIES) for name in names]
    return list({id(owner): owner for owner in found if owner is not None}.values())


def _owner(function: Any, methods: bool = True) -> Any:
    """Return the object whose state a call of `function` may change; None where there is none.

    Parameters
    ----------
    methods
        Whether the owner of a bound method counts, too, and not only a callable object.
    """
    while True:
        owner = getattr(function, "__self__", None)
        if owner is not None:
            return owner if methods and _has_state(owner) else None
        if isinstance(function, functools.partial):  # as toolbox.register makes them
            function = function.func
        elif hasattr(function, "__wrapped__"):  # made by a decorator
            function = function.__wrapped__
        else:
            return function if _has_state(function) else None


def _has_state(owner: Any) -> bool:
    # The state of the generator behind the functions of `random` is saved anyway.
    if owner is None or owner is getattr(random, "_inst", None):
        return False
    if isinstance(owner, type) or inspect.ismodule(owner) or inspect.isroutine(owner):
        return False
    return hasattr(owner, "__dict__") or bool(copyreg._slotnames(type(owner)))  # type: ignore[attr-defined]


def _state(owner: Any) -> Any:
    """Return a copy of the state that a pickle of an object holds: the object's own dictionary changes later."""
    state = owner.__getstate__()
    if type(state) is tuple:
        return tuple(dict(part) if type(part) is dict else part for part in state)
    return dict(state) if type(state) is dict else state


def _set_state(owner: Any, state: Any) -> None:
    """Give an existing object a state, as the end of unpickling does."""
    if hasattr(owner, "__setstate__"):
        owner.__setstate__(state)
        return
    kind: Any = type(owner)
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if hasattr(owner, "__dict__"):
        if kind.__getstate__ is object.__getstate__:  # the state is all attributes
            vars(owner).clear()
        vars(owner).update(attributes or {})
    for name, value in (slots or {}).items():
        setattr(owner, name, value)
