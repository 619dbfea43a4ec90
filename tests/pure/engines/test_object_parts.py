"""Parts of objects: the objects that one refers to, read again from containers that can change."""

import array
import functools

import numpy as np
import pytest

from hpcml.engines.object_parts import Opaque, find_parts, nbytes_of


class Slotted:
    __slots__ = ("__hidden", "shown")

    def __init__(self):
        self.__hidden = [1]
        self.shown = [2]


def parts(thing):
    views, arrays = [], []
    return list(find_parts(thing, views, arrays)), views, arrays


@pytest.mark.parametrize("thing", [3, "text", None, len, functools, Slotted, range(3)])
def test_constants_and_things_of_the_process_have_no_parts(thing):
    assert parts(thing) == ([], [], [])


def test_a_view_yields_the_parts_of_that_time():
    thing = [[1], [2]]
    found, (view,), _ = parts(thing)
    assert [1] in found
    thing.append([3])
    assert list(view) == [[1], [2], [3]]


def test_private_slots_are_parts():
    found, *_ = parts(Slotted())
    assert [1] in found
    assert [2] in found


def test_a_function_has_its_variables_defaults_and_globals():
    captured, default = ["captured"], ["default"]

    def function(value=default):
        return captured, value, Slotted

    found, *_ = parts(function)
    assert any(part is Slotted for part in found)
    assert (default,) in found
    assert [cell.cell_contents for cell in function.__closure__ if cell in found] == [captured]


def test_only_arrays_that_can_be_written_are_collected():
    fixed = np.zeros(3)
    fixed.flags.writeable = False
    assert [len(parts(one)[2]) for one in (np.zeros(3), fixed, array.array("d", [1.0]))] == [1, 0, 1]
    assert [nbytes_of(one) for one in (np.zeros(3), array.array("i", [1, 2]))] == [24, 8]


@pytest.mark.parametrize("thing", [np.array([[1], None], dtype=object), (n for n in ()), iter([1])])
def test_an_object_with_a_hidden_state_is_opaque(thing):
    with pytest.raises(Opaque):
        parts(thing)
