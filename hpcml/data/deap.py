"""Compact pickles of DEAP individuals: the genome, and the attributes that differ from a new individual's.

A function that refers to the module `deap.creator` is sent with the classes that the script has made there.

DEAP pickles each class that `deap.creator.create` has made with each of its instances, and rebinds the name in
`deap.creator` whenever an instance is unpickled: ``isinstance(x, creator.Individual)`` is then false for all
earlier instances. Here an equal class is loaded as the existing one.

Recorded results and checkpoints hold the names of this module and of `build_individual`, `creator_class`,
`creator_module` and `keep_classes`.
"""

import array
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import cloudpickle

from hpcml.data.arrays import Array, plain_array

__all__ = [
    "add_individual_note",
    "attributes_if_new",
    "attributes_of_new_list",
    "build_individual",
    "build_new_lists",
    "content_type_of",
    "creator_class",
    "creator_module",
    "is_new",
    "keep_classes",
    "made_classes",
    "rebind_classes",
    "reduce_individual",
]

_NO_VALUES: dict[str, Any] = {"wvalues": ()}  # the state of a fitness

_rebinds = False
SHOWN_CHARACTERS = 500  # of a genome in a message


def rebind_classes() -> None:
    """Let classes that are loaded replace others of their name from now on; for workers."""
    global _rebinds  # noqa: PLW0603  one process is one worker
    _rebinds = True


def reduce_individual(thing: Any) -> tuple[Any, ...] | None:
    """Return the reduction of DEAP's creator, a class of it, or an instance; None for any other object."""
    creator = sys.modules.get("deap.creator")
    meta = getattr(creator, "MetaCreator", None)  # DEAP has it from 1.4 on
    if meta is None:
        return None
    if thing is creator:
        return creator_module, (), made_classes(creator), None, None, keep_classes
    kind: Any = type(thing)
    if kind is meta:
        return creator_class, thing.reduce_args
    genome = _genome(thing, kind.reduce_args[1]) if type(kind) is meta else NotImplemented
    if genome is NotImplemented:
        return None
    return build_individual, (kind, genome, vars(thing) if genome is None or not is_new(thing, kind) else None)


def made_classes(creator: Any) -> list[Any]:
    """Return the classes that `deap.creator.create` has made, in the order of their names."""
    return [kind for _, kind in sorted(vars(creator).items()) if type(kind) is creator.MetaCreator]


def creator_module() -> Any:
    """Return DEAP's creator."""
    from deap import creator

    return creator


def keep_classes(creator: Any, classes: list[Any]) -> None:
    """Leave to `creator_class`, which has made the classes, whether these are in the module."""


def content_type_of(kind: Any) -> type | None:
    """Return the type of the content that an instance of a class of DEAP's creator has beside its attributes.

    `object` where there are only attributes; None for any other class, and for one that defines the pickles of its
    instances.
    """
    meta = getattr(sys.modules.get("deap.creator"), "MetaCreator", None)
    if meta is None or type(kind) is not meta:
        return None
    base: type = kind.reduce_args[1]
    for content in (list, set):
        if base is content:
            return content
    if (getattr(base, "__module__", ""), getattr(base, "__name__", "")) == ("deap.gp", "PrimitiveTree"):
        return list  # the class adds methods, and no state
    if isinstance(base, type) and issubclass(base, Array):
        return Array
    return object if _holds_attributes_alone(base) else None


def _genome(thing: Any, base: Any) -> Any:
    """Return the content of an individual with this base; None where there are only attributes."""
    if isinstance(thing, Array):
        return plain_array(thing)
    if isinstance(thing, array.array):
        return array.array(thing.typecode, thing)
    if base in (list, set) or getattr(base, "__module__", "") == "deap.gp":
        return list(thing)
    return None if _holds_attributes_alone(base) else NotImplemented  # its class defines the pickle


def _holds_attributes_alone(base: type) -> bool:
    """Return whether all content of an instance is in its ``__dict__``, and its class defines no pickle."""
    if getattr(base, "__module__", "") == "deap.base":
        return True
    special = ("__init__", "__new__", "__reduce__", "__reduce_ex__", "__getstate__")
    if any(getattr(base, name) is not getattr(object, name) for name in special):
        return False
    return not any("__slots__" in vars(kind) or hasattr(kind, "__setstate__") for kind in base.__mro__[:-1])


def is_new(individual: Any, kind: Any) -> bool:
    """Return whether all attributes of an individual are as new: a fitness without values."""
    return attributes_if_new(kind, [vars(individual)]) is not None


def attributes_if_new(kind: Any, states: Sequence[dict[str, Any]]) -> list[Any] | None:
    """Return the attributes of individuals of a class where all of them are as new, else None."""
    made = {name for name, value in kind.reduce_args[2].items() if isinstance(value, type)}
    if any(state.keys() != made for state in states):
        return None
    parts = [part for state in states for part in state.values()]
    if any(getattr(one, "wvalues", None) != () for one in set(map(type, parts))):
        return None
    return parts if all(not state or state == _NO_VALUES for state in map(vars, parts)) else None


def attributes_of_new_list(thing: Any) -> list[Any] | None:
    """Return the attributes of an individual with base `list` where all of them are as new, else None."""
    kind: Any = type(thing)
    meta = getattr(sys.modules.get("deap.creator"), "MetaCreator", None)
    if meta is None or type(kind) is not meta or kind.reduce_args[1] is not list:
        return None
    return attributes_if_new(kind, [vars(thing)])


def build_individual(kind: Any, genome: Any, state: dict[str, Any] | None) -> Any:
    """Return an individual with this genome; `state` holds its attributes, None: those of a new one."""
    if genome is None:
        individual = kind.__new__(kind)
    elif isinstance(genome, Array):
        individual = genome.view(kind)
        attributes = kind.reduce_args[2].items() if state is None else ()
        vars(individual).update({name: value() for name, value in attributes if isinstance(value, type)})
    else:
        individual = kind(genome)
    if state is not None:
        vars(individual).clear()
        vars(individual).update(state)
    return individual


def build_new_lists(kind: Any, genomes: Iterable[Any]) -> Iterator[Any]:
    """Yield new individuals of a class with base `list`: equal to ``kind(genome)``, in a third of the time."""
    made = [(name, _maker(value)) for name, value in kind.reduce_args[2].items() if isinstance(value, type)]
    for genome in genomes:
        individual = list.__new__(kind)
        individual.extend(genome)
        state = vars(individual)
        for name, make in made:
            state[name] = make()
        yield individual


def _maker(kind: Any) -> Callable[[], Any]:
    """Return a function that makes an instance; without values, the ``__init__`` of a fitness does nothing."""
    _, base, attributes = getattr(kind, "reduce_args", ("", None, {}))
    is_fitness = base is not None and base is getattr(sys.modules.get("deap.base"), "Fitness", None)
    if is_fitness and not any(isinstance(value, type) for value in attributes.values()):
        return partial(kind.__new__, kind)
    made: Callable[[], Any] = kind
    return made


def creator_class(name: str, base: type, attributes: dict[str, Any]) -> Any:
    """Return the class of DEAP's creator with this name, base and attributes.

    An equal class that exists is used. In the driver, a class of that name is never replaced, even if it differs.
    """
    from deap import creator

    there = getattr(creator, name, None)
    if isinstance(there, creator.MetaCreator) and _are_equal(there.reduce_args, (name, base, attributes)):
        return there
    made = creator.MetaCreator(name, base, attributes)
    if there is None or _rebinds:
        setattr(creator, name, made)
    return made


def _are_equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    if one[1] is not other[1] or one[2].keys() != other[2].keys():
        return False
    return all(_is_equal_value(value, other[2][key]) for key, value in one[2].items())


def _is_equal_value(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, int | float | str | tuple):
        return bool(one == other)
    try:
        return bool(cloudpickle.dumps(one) == cloudpickle.dumps(other))
    except Exception:
        return False


def add_individual_note(error: BaseException, args: Any) -> None:
    """Add a note to an exception: the individual that was being evaluated."""
    meta = getattr(sys.modules.get("deap.creator"), "MetaCreator", None)
    for arg in args if meta is not None else ():
        kind: Any = type(arg)
        if type(kind) is meta:
            text = str(arg) if getattr(kind.reduce_args[1], "__module__", "") == "deap.gp" else _listed(arg)
            error.add_note(f"while evaluating the {kind.__name__} {text[:SHOWN_CHARACTERS]}")


def _listed(individual: Any) -> str:
    """Return the genome of an individual as text."""
    try:
        return repr(individual.tolist() if hasattr(individual, "tolist") else list(individual))
    except Exception:
        return repr(individual)
