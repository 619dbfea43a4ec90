"""Classes of DEAP's creator for the tests of evolution, removed after each test."""

import pytest
from deap import base, creator


@pytest.fixture
def row():
    """Class of a list with one fitness, to be maximised."""
    creator.create("PureMost", base.Fitness, weights=(1.0,))
    creator.create("PureRow", list, fitness=creator.PureMost)
    yield creator.PureRow
    del creator.PureMost, creator.PureRow


@pytest.fixture
def rows(row):
    """Make individuals with one gene each, evaluated to that gene."""

    def make(*genes):
        made = [row([gene]) for gene in genes]
        for one in made:
            one.fitness.values = (one[0],)
        return made

    return make
