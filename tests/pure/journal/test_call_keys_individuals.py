"""Keys of calls with individuals of DEAP: equal where a task cannot see a difference, and only there."""

import subprocess
import sys

import numpy as np
import pytest
from deap import base, creator

from hpcml.journal.call_keys import CallKeys

SCRIPT = """
from deap import base, creator
from hpcml.journal.call_keys import CallKeys
creator.create("KeyMost", base.Fitness, weights=(1.0,))
creator.create("KeyBits", list, fitness=creator.KeyMost)
print(CallKeys().call_digest(CallKeys().object_digest(max), (creator.KeyBits([1, 0, 2.5]),), {}).digest)
"""


@pytest.fixture(scope="module")
def bits():
    creator.create("KeyMost", base.Fitness, weights=(1.0,))
    creator.create("KeyBits", list, fitness=creator.KeyMost)
    creator.create("KeyFlags", list, fitness=creator.KeyMost)
    yield creator.KeyBits
    for name in ("KeyMost", "KeyBits", "KeyFlags"):
        delattr(creator, name)


def key(individual, function=max):
    keys = CallKeys()
    return keys.call_digest(keys.object_digest(function), (individual,), {}).digest


GENOMES = (
    [],
    [1, 0],
    [0, 1],
    [True, False],
    [1.0, 0.0],
    [1.0, -0.0],
    ["1", "0"],
    [b"1", b"0"],
    [None, 0],
    [1 << 70, 0],
    [np.float64(1), np.float64(0)],
    [np.float32(1), np.float32(0)],
    [np.int64(1), np.int64(0)],
    [np.float64(1), 0.0],
    [[1], [0]],
    [(1,), (0,)],
)


def test_other_genomes_are_other_calls(bits):
    keys = [key(bits(genome)) for genome in GENOMES]
    assert len(set(keys)) == len(GENOMES)
    assert [key(bits(genome)) for genome in GENOMES] == keys


def test_class_function_and_attributes_of_an_individual_are_in_the_key(bits):
    evaluated, marked = bits([1, 0]), bits([1, 0])
    evaluated.fitness.values = (1.0,)
    marked.age = 3
    keys = [key(one) for one in (bits([1, 0]), creator.KeyFlags([1, 0]), evaluated, marked, [1, 0])]
    assert len({*keys, key(bits([1, 0]), min)}) == 6


def test_an_individual_in_the_function_and_its_copy_have_different_keys(bits):
    one, other = bits([1, 0]), bits([1, 0])
    assert key(one, lambda x, held=one: x is held) != key(one, lambda x, held=other: x is held)


def test_keys_of_individuals_are_the_same_in_another_process(bits):
    there = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert there.strip() == key(bits([1, 0, 2.5]))


def test_a_function_that_makes_individuals_is_another_where_their_class_is(bits):
    make = lambda size: creator.KeyFlags([1] * size)  # noqa: E731  sent by value
    before = key(bits([1]), make)
    creator.create("KeyFlagsAgain", list, fitness=creator.KeyMost)  # any class may be used
    assert key(bits([1]), make) != before
    del creator.KeyFlagsAgain
    assert key(bits([1]), make) == before
    own = lambda one: creator.KeyTwin([*one])  # noqa: E731
    creator.create("KeyTwin", list, fitness=creator.KeyMost, twin=own)
    try:
        assert key(bits([1]), own) == key(bits([1]), own) != before
    finally:
        del creator.KeyTwin
