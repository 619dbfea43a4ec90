"""Objects behind a toolbox that change as an evolution goes on: CMA-ES and its like, selections with a memory."""

import contextlib
import copy
import copyreg
import functools
import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hpcml.errors import HpcmlError

__all__ = ["borrow_selections", "check_strategies", "get_strategies", "set_strategies"]

STRATEGIES = ("generate", "update")
SELECTIONS = ("select", "replace")  # only objects that are called: a method's may be the whole program


def check_strategies(toolbox: Any) -> None:
    """Make sure that the strategy that generates can be found, for its state belongs in the checkpoint.

    Raises
    ------
    ValueError
        It is behind a lambda, or a function that does not tell what it calls.
    """
    if not any(_owner(getattr(toolbox, name, None)) is not None for name in STRATEGIES):
        raise ValueError(
            "toolbox.generate and toolbox.update belong to no object whose state a checkpoint can hold: "
            'register its bound methods, as in toolbox.register("generate", strategy.generate, creator.Row) '
            'and toolbox.register("update", strategy.update), or give no checkpoint'
        )


def get_strategies(toolbox: Any, names: Sequence[str] = STRATEGIES + SELECTIONS) -> list[tuple[str, Any]]:
    """Return the state of each strategy behind these functions of a toolbox, with its class's name."""
    return [(type(owner).__qualname__, _state(owner)) for owner in _owners(toolbox, names)]


def set_strategies(
    toolbox: Any, kept: list[tuple[str, Any]], where: Any, names: Sequence[str] = STRATEGIES + SELECTIONS
) -> None:
    """Have the strategies behind a toolbox go on from what `get_strategies` returned, kept in `where`.

    Raises
    ------
    HpcmlError
        The toolbox has others.
    """
    owners = _owners(toolbox, names)
    there, here = [name for name, _ in kept], [type(owner).__qualname__ for owner in owners]
    if there != here:
        raise HpcmlError(
            f"{where} holds the state of {_listed(there)}, and the methods in this toolbox belong to "
            f"{_listed(here)}: register what was registered then, or remove the file to begin anew"
        )
    for owner, (_, state) in zip(owners, kept, strict=True):
        _set_state(owner, state)


@contextlib.contextmanager
def borrow_selections(toolbox: Any, kept: list[tuple[str, Any]] | None) -> Iterator[Callable[[], Any]]:
    """Have the selections with a memory go on from `kept`, None: as they are; afterwards they are as before.

    Yields what returns their state for the next time. Those that cannot be copied, for they hold a lock or a file,
    have none: they are everyone's.
    """
    before = get_strategies(toolbox, SELECTIONS)
    own = None
    with contextlib.suppress(Exception):
        own = copy.deepcopy(before if kept is None else kept)
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


def _owners(toolbox: Any, names: Sequence[str]) -> list[Any]:
    """Return the objects, each once."""
    found = [_owner(getattr(toolbox, name, None), methods=name in STRATEGIES) for name in names]
    return list({id(owner): owner for owner in found if owner is not None}.values())


def _owner(function: Any, methods: bool = True) -> Any:
    """Return the object that a function is a method of, or that is called; None where there is none."""
    while True:
        owner = getattr(function, "__self__", None)
        if owner is not None:
            return owner if methods and _has_state(owner) else None
        if isinstance(function, functools.partial):  # as toolbox.register makes them
            function = function.func
        elif hasattr(function, "__wrapped__"):  # by a decorator
            function = function.__wrapped__
        else:
            return function if _has_state(function) else None


def _has_state(owner: Any) -> bool:
    # not the generator behind the functions of `random`, whose state is kept anyway
    if owner is None or owner is getattr(random, "_inst", None):
        return False
    if isinstance(owner, type) or inspect.ismodule(owner) or inspect.isroutine(owner):
        return False
    return hasattr(owner, "__dict__") or bool(copyreg._slotnames(type(owner)))  # type: ignore[attr-defined]


def _state(owner: Any) -> Any:
    """Return what a pickle holds of an object; it is not the object's own dictionary, which changes."""
    state = owner.__getstate__()
    if type(state) is tuple:
        return tuple(dict(part) if type(part) is dict else part for part in state)
    return dict(state) if type(state) is dict else state


def _set_state(owner: Any, state: Any) -> None:
    """Do what the end of unpickling does, to an object that is there."""
    if hasattr(owner, "__setstate__"):
        owner.__setstate__(state)
        return
    kind: Any = type(owner)
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if hasattr(owner, "__dict__"):
        if kind.__getstate__ is object.__getstate__:  # its attributes are all there is
            vars(owner).clear()
        vars(owner).update(attributes or {})
    for name, value in (slots or {}).items():
        setattr(owner, name, value)
