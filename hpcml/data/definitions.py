"""Functions, classes and modules in a pickle: their name, or all that they are."""

import sys
import types
from collections.abc import Callable
from typing import Any

import cloudpickle

from hpcml.data.code_versions import code_globals, code_modules

__all__ = [
    "class_parts",
    "code_parts",
    "function_parts",
    "home_of",
    "is_importable",
    "is_named",
    "module_parts",
    "own_reduction",
]

FILLED_AT_RUN_TIME = {"deap.creator"}  # the classes in these modules are the script's

_by_reference: Callable[[Any], bool] = cloudpickle.cloudpickle._should_pickle_by_reference


def is_named(thing: Any) -> bool:
    """Tell whether the pickle of a thing consists of its name, so that its state is not sent.

    An object that has the name of a function, as decorators make it, is not: its attributes are sent.

    Examples
    --------
    >>> import functools, math
    >>> from hpcml.data.definitions import is_named
    >>> is_named(math.sqrt), is_named(functools.partial(pow, 2)), is_named(lambda x: x)
    (True, False, False)
    """
    kind = type(thing)
    if issubclass(kind, type) or kind is types.FunctionType:
        return _is_found(thing)
    try:
        reduced = own_reduction(thing, cloudpickle.Pickler.dispatch_table)
    except Exception:  # packing says so
        return False
    if not isinstance(reduced, str):
        return False
    home = getattr(thing, "__module__", None)
    return home is None or (home != "__main__" and _has(sys.modules.get(home), reduced, thing))


def _is_found(thing: Any) -> bool:
    module = getattr(thing, "__module__", None)
    return isinstance(module, str) and module not in FILLED_AT_RUN_TIME and _by_reference(thing)


def is_importable(module: types.ModuleType) -> bool:
    """Tell whether a module is sent as its name."""
    return _by_reference(module)


def own_reduction(thing: Any, table: Any) -> Any:
    """Return how an object says that it is pickled, None where it leaves that to `object`.

    Parameters
    ----------
    table
        How some types are reduced; see `pickle.Pickler.dispatch_table`.
    """
    kind: Any = type(thing)
    if (reduce := table.get(kind)) is not None:
        return reduce(thing)
    if kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__:
        return None
    return thing.__reduce_ex__(5)


def home_of(thing: Any, name: str) -> str:
    """Return the module in which an object is found under its global name, as pickles look for it."""
    module = getattr(thing, "__module__", None)
    if isinstance(module, str):
        return module
    homes = (home for home, one in list(sys.modules.items()) if _has(one, name, thing))
    return next(homes, "__main__")


def _has(module: Any, name: str, thing: Any) -> bool:
    found = module
    for part in name.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found is thing


def code_parts(code: types.CodeType) -> tuple[Any, ...]:
    """Return what a code object does, without where it stands in its file."""
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return code.co_code, code.co_exceptiontable, code.co_consts, names, shape


def function_parts(function: types.FunctionType) -> tuple[Any, ...]:
    """Return what is sent of a function that has no name elsewhere, and the code that it uses by name."""
    code = function.__code__
    known = [(name, function.__globals__[name]) for name in code_globals(code) if name in function.__globals__]
    captured = list(zip(code.co_freevars, function.__closure__ or (), strict=True))
    reached = (*(value for _, value in known), *(_content(cell) for _, cell in captured))
    modules = sorted({value.__name__ for value in reached if isinstance(value, types.ModuleType)})
    package = function.__globals__.get("__package__") or ""
    used = code_modules(code, tuple(modules), package if isinstance(package, str) else "")
    more = (function.__defaults__, function.__kwdefaults__, vars(function), function.__annotations__)
    return code, captured, known, *more, used


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


_NOT_OF_A_CLASS = {"__dict__", "__weakref__", "__firstlineno__", "__static_attributes__", "__annotate_func__"}
_NOT_OF_A_CLASS |= {"_abc_impl", "__annotations_cache__"}


def class_parts(kind: type) -> tuple[Any, ...]:
    """Return what is sent of a class that has no name elsewhere."""
    own = [
        (name, value)
        for name, value in sorted(vars(kind).items())
        if name not in _NOT_OF_A_CLASS
        and not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
    ]
    return type(kind), kind.__bases__, own


_NOT_OF_A_MODULE = {"__builtins__", "__loader__", "__spec__", "__cached__", "__file__", "__path__"}


def module_parts(module: types.ModuleType) -> tuple[Any, ...]:
    """Return what is sent of a module that workers cannot import: all that is in it."""
    return tuple((name, value) for name, value in sorted(vars(module).items()) if name not in _NOT_OF_A_MODULE)
