"""Values of a chunk: each is what its call returned, whatever later calls do."""

import numpy as np
import pytest

from hpcml.data.columns import Numbers
from hpcml.data.values import Values
from hpcml.errors import TaskError


def find(number):
    return None


def packed(*values, limit=1000):
    collected = Values(limit)
    for value in values:
        collected.add(value)
    return collected.packed()


def test_numbers_are_one_column():
    found = packed(1.5, 2.5, 3.5)
    assert isinstance(found.constants, Numbers)
    assert found.load(find) == ([1.5, 2.5, 3.5], None)
    assert not found.pickles


def test_values_that_can_change_are_pickled_at_once():
    same = []
    collected = Values(1000)
    for number in range(3):
        same.append(number)
        collected.add(same)
        collected.add(number)
    assert len(collected) == 6
    assert collected.packed().load(find) == ([[0], 0, [0, 1], 1, [0, 1, 2], 2], None)
    assert collected.nbytes > 0


def test_scalars_of_numpy_keep_their_type():
    (found, other), _ = packed(np.float32(1.5), np.float32(2.5)).load(find)
    assert type(found) is np.float32
    assert (found, other) == (1.5, 2.5)


def test_a_value_that_cannot_be_unpickled_ends_the_list():
    found = packed([1], [2], [3])
    found.pickles[1] = b"no pickle"
    values, error = found.load(find)
    assert values == [[1]]
    assert error is not None


def test_a_value_that_is_too_large_or_cannot_be_pickled_is_an_error():
    with pytest.raises(TaskError, match=r"the result takes [\d,]+ bytes, more than max_result_nbytes=10: "):
        packed([0] * 100, limit=10)
    with pytest.raises(TaskError, match="the result, a builtins.generator, cannot be sent back: "):
        packed(n for n in ())
