"""Functions, classes and modules in a pickle: sent by name, or by value as the parts of their definition."""

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

from hpcml.data.code_versions import code_globals, code_modules

__all__ = [
    "class_parts",
    "code_parts",
    "find_by_name",
    "function_parts",
    "is_found_by_name",
    "is_importable",
    "is_named",
    "module_name_of",
    "module_parts",
    "own_reduction",
]

FILLED_AT_RUN_TIME = {"deap.creator"}  # modules whose classes the script makes

_by_reference: Callable[[object], bool] = cloudpickle.cloudpickle._should_pickle_by_reference


def find_by_name(module: str, name: str) -> Any:
    """Return the object that a qualified name means in an imported module, None where there is none."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def is_found_by_name(thing: Any) -> bool:
    """Return whether a function or class is found under its own name in its module, here in this process.

    Examples
    --------
    >>> import functools
    >>> from hpcml.data.definitions import is_found_by_name
    >>> is_found_by_name(functools.reduce), is_found_by_name(lambda x: x)
    (True, False)
    """
    return find_by_name(thing.__module__, thing.__qualname__) is thing


def is_named(thing: object) -> bool:
    """Return whether the pickle of an object consists of its name, so that its state is not sent.

    An object that only carries the name of a function, as a decorator makes it, is sent with its attributes.

    Examples
    --------
    >>> import functools, math
    >>> from hpcml.data.definitions import is_named
    >>> is_named(math.sqrt), is_named(functools.partial(pow, 2)), is_named(lambda x: x)
    (True, False, False)
    """
    kind = type(thing)
    if issubclass(kind, type) or kind is types.FunctionType:
        return _is_sent_by_name(thing)
    try:
        reduced = own_reduction(thing, cloudpickle.Pickler.dispatch_table)
    except Exception:  # packing reports the error
        return False
    if not isinstance(reduced, str):
        return False
    module = getattr(thing, "__module__", None)
    return module is None or (module != "__main__" and _defines(sys.modules.get(module), reduced, thing))


def _is_sent_by_name(thing: object) -> bool:
    module = getattr(thing, "__module__", None)
    return isinstance(module, str) and module not in FILLED_AT_RUN_TIME and _by_reference(thing)


def is_importable(module: types.ModuleType) -> bool:
    """Return whether a module is sent by its name."""
    return _by_reference(module)


def own_reduction(thing: object, table: Mapping[type, Callable[[Any], Any]]) -> Any:
    """Return the reduction that the class of an object defines, None where that is the one of `object`.

    Parameters
    ----------
    table
        Reductions of some types; see `pickle.Pickler.dispatch_table`.
    """
    kind: Any = type(thing)
    if (reduce := table.get(kind)) is not None:
        return reduce(thing)
    if kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__:
        return None
    return thing.__reduce_ex__(5)


def module_name_of(thing: object, name: str) -> str:
    """Return the name of the module that has an object under a global name, as `pickle` looks for it."""
    module = getattr(thing, "__module__", None)
    if isinstance(module, str):
        return module
    owners = (owner for owner, one in list(sys.modules.items()) if _defines(one, name, thing))
    return next(owners, "__main__")


def _defines(module: object, name: str, thing: object) -> bool:
    """Return whether a module has an object under a name; attributes made when asked for do not count."""
    found = module
    for part in name.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found is thing


def code_parts(code: types.CodeType) -> tuple[Any, ...]:
    """Return the parts of a code object, without its file and line numbers."""
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return code.co_code, code.co_exceptiontable, code.co_consts, names, shape


def function_parts(function: types.FunctionType) -> tuple[Any, ...]:
    """Return the parts of a function that is sent by value, with the digests of the modules that it uses."""
    code = function.__code__
    known = [(name, function.__globals__[name]) for name in code_globals(code) if name in function.__globals__]
    captured = list(zip(code.co_freevars, function.__closure__ or (), strict=True))
    reached = (*(value for _, value in known), *(_content(cell) for _, cell in captured))
    modules = sorted({value.__name__ for value in reached if isinstance(value, types.ModuleType)})
    package = function.__globals__.get("__package__") or ""
    used = code_modules(code, tuple(modules), package if isinstance(package, str) else "")
    more = (function.__defaults__, function.__kwdefaults__, vars(function), function.__annotations__)
    return code, captured, known, *more, used


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None


_NOT_OF_A_CLASS = {"__dict__", "__weakref__", "__firstlineno__", "__static_attributes__", "__annotate_func__"}
_NOT_OF_A_CLASS |= {"_abc_impl", "__annotations_cache__"}


def class_parts(kind: type) -> tuple[Any, ...]:
    """Return the parts of a class that is sent by value."""
    own = [
        (name, value)
        for name, value in sorted(vars(kind).items())
        if name not in _NOT_OF_A_CLASS
        and not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
    ]
    return type(kind), kind.__bases__, own


_NOT_OF_A_MODULE = {"__builtins__", "__loader__", "__spec__", "__cached__", "__file__", "__path__"}


def module_parts(module: types.ModuleType) -> tuple[Any, ...]:
    """Return all that is in a module which workers cannot import, and which is therefore sent by value."""
    return tuple((name, value) for name, value in sorted(vars(module).items()) if name not in _NOT_OF_A_MODULE)
