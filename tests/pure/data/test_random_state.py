"""Generators in pickles: the process' own is the other process' own, any other is a copy and is found."""

import pickle
import random

import numpy as np
import pytest

from hpcml.data.random_state import holds_generator, process_generator, reduce_generator


@pytest.mark.parametrize(("library", "function"), [("random", random.random), ("numpy", np.random.normal)])
def test_the_own_generator_is_reduced_to_its_library(library, function):
    build, args = reduce_generator(function.__self__)
    assert build(*args) is process_generator(library) is function.__self__


@pytest.mark.parametrize("thing", [random.Random(1), np.random.RandomState(1), np.random.default_rng(1), 7])
def test_other_objects_are_not_reduced(thing):
    assert reduce_generator(thing) is None


@pytest.mark.parametrize("thing", [random.Random(1), np.random.RandomState(1), np.random.default_rng(1)])
def test_a_generator_is_found_in_a_pickle(thing):
    assert holds_generator(pickle.dumps({"deep": [thing]}, pickle.HIGHEST_PROTOCOL))
    assert not holds_generator(pickle.dumps(type(thing), pickle.HIGHEST_PROTOCOL))
