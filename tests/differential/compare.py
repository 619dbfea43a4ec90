"""Differences between the observations of a program and the expected ones.

The expected ones come from `executors.isolated`: each call, also after one that has raised, is made on a copy of
function and arguments as they were when it was submitted. Equal must be, for each map: the values (types,
content, which objects are one and the same, classes of the script themselves), the exception (type, arguments,
attributes, notes, members of a group) and where the results end, the globals of the script afterwards, the files,
how often each call was executed, and what each call has printed to each stream, in order.

Legitimate differences:

- After the first call that raises, calls of ``map`` may have been executed or not, once; what such a call has
  printed is there, or a part of it, or nothing.
- ``Parallel`` raises what any of the calls has raised, not what the first of them has. A list then has no values,
  a generator the first few. Any call may have been executed or not.
- Files of calls after an exception (as their executions).
- Calls are printed in any order. stdout and stderr of one call are two streams.
- ``__cause__``, ``__context__`` and the traceback of an exception: a Cluster puts the worker's there.
- When the driver is killed: calls whose results were not recorded are executed again; what was printed by the
  first driver's calls may be lost. The second driver executes no recorded call, and each other one once.
"""

from collections import Counter
from typing import Any

from programs import Seen

__all__ = ["differences"]

SHOWN = 3


def differences(expected: Seen, seen: Seen, resumed: bool = False) -> list[str]:
    """Return the differences as sentences; none where all is equal."""
    if seen.trouble or expected.trouble:
        return [f"the script fails: {seen.trouble or expected.trouble}"]
    found: list[str] = []
    if len(seen.maps) != len(expected.maps):
        found.append(f"{len(seen.maps)} maps instead of {len(expected.maps)}")
    surely: set[int] = set()
    for number, (one, other) in enumerate(zip(expected.maps, seen.maps, strict=False)):
        found += [f"map {number}, {line}" for line in _map(one, other)]
        surely |= _surely(one)
    if seen.files != expected.files and not any(one["errors"] for one in expected.maps):
        wrong = sorted({*seen.files.items()} ^ {*expected.files.items()})
        found.append(f"{len(seen.files)} files, expected {len(expected.files)}; different are {wrong[:SHOWN]}")
    if resumed:
        return found + _again(expected, seen)
    return found + _counts(expected.executed, seen.executed, surely)


def missing(expected: Seen, printed: dict[str, list[str]]) -> list[str]:
    """Return the differences in the lines that the calls have printed."""
    found = []
    surely = set().union(*map(_surely, expected.maps)) if expected.maps else set()
    for key in sorted({*expected.printed, *printed}):
        right, seen = expected.printed.get(key, []), printed.get(key, [])
        whole = int(key.split()[0]) in surely
        if seen != right and (whole or seen != right[: len(seen)]):
            found.append(f"call and stream {key} printed {seen}, expected {right}")
    return found[:SHOWN]


def _surely(one: dict[str, Any]) -> set[int]:
    """Return the calls that are executed in any case."""
    ids: list[int] = one["ids"]
    if not one["errors"] or one["api"] == "submit":
        return set(ids)
    return set(ids[: one["errors"][0][0] + 1]) if one["api"] == "map" else set()


def _map(expected: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    found = []
    values, right = seen["values"], expected["values"]
    errors, raised = seen["errors"], expected["errors"]
    if raised and expected["api"].startswith("parallel"):
        if expected["api"] == "parallel:generator":
            right = right[: len(values)] if len(values) <= len(right) else right
        else:
            right = []
        if len(errors) != 1 or errors[0][1] not in {text for _, text in raised}:
            found.append(f"raised {errors}, expected one of {raised[:SHOWN]}")
    elif errors != (raised[:1] if expected["api"] == "map" else raised):
        found.append(f"raised {errors[:SHOWN]}, expected {raised[:SHOWN]}")
    if len(values) != len(right):
        found.append(f"{len(values)} values, expected {len(right)}")
    wrong = [number for number, (a, b) in enumerate(zip(values, right, strict=False)) if a != b]
    for number in wrong[:SHOWN]:
        found.append(f"value {number} ({len(wrong)} differ) is\n      {values[number]}\n  not {right[number]}")
    if seen["state"] != expected["state"]:
        found.append(f"the script's globals are\n      {seen['state']}\n  not {expected['state']}")
    return found


def _counts(expected: Counter[int], seen: Counter[int], surely: set[int]) -> list[str]:
    different = [i for i in sorted({*expected, *seen}) if seen[i] != expected[i]]
    wrong = [i for i in different if i in surely or seen[i] > expected[i]]
    if not wrong:
        return []
    shown = ", ".join(f"call {i} {seen[i]} times" for i in wrong[:SHOWN])
    return [f"{len(wrong)} calls were not executed once each: {shown}"]


def _again(expected: Seen, seen: Seen) -> list[str]:
    """Return the calls that were executed again though recorded, or not at all."""
    if any(one["errors"] for one in expected.maps):
        return []
    executed, left = sum(seen.executed.values()), sum(expected.executed.values()) - seen.known
    both = seen.first + seen.executed
    lost = [i for i in expected.executed if both[i] < expected.executed[i]]
    found = [f"calls {lost[:SHOWN]} ({len(lost)}) were never executed"] if lost else []
    if executed > left:
        found.append(f"{seen.known} results were known, {left} left, but {executed} calls were executed again")
    return found
