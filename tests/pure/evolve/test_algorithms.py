"""Steps of the algorithms: who survives, and which first populations are refused."""

import random

import pytest
from deap import base, tools

from hpcml.evolve import DifferentialEvolution, EaMuCommaLambda, EaMuPlusLambda, EaSimple, Nsga2, ParticleSwarm


@pytest.fixture
def toolbox():
    found = base.Toolbox()
    found.register("select", tools.selBest)
    return found


def genes(population):
    return [one[0] for one in population]


@pytest.mark.parametrize(
    ("algorithm", "survivors"),
    [
        (EaSimple(0.5, 0.2), [1, 5]),
        (EaMuPlusLambda(2, 2, 0.5, 0.2), [9, 5]),
        (EaMuCommaLambda(1, 2, 0.5, 0.2), [5]),
        (DifferentialEvolution(), [9, 5]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_survivors(algorithm, survivors, toolbox, rows):
    assert genes(algorithm.survive(rows(9, 3), rows(1, 5), toolbox)) == survivors


def test_first_populations_that_are_too_small_or_odd(rows):
    with pytest.raises(ValueError, match="multiple of four"):
        Nsga2(0.9).check(rows(1, 2, 3, 4, 5, 6))
    with pytest.raises(ValueError, match="needs four individuals or more, not 3"):
        DifferentialEvolution().check(rows(1, 2, 3))
    with pytest.raises(ValueError, match="lambda_=2 must not be less than mu=3"):
        EaMuCommaLambda(3, 2, 0.5, 0.2)
    EaSimple(0.5, 0.2).check([])


def test_a_trial_takes_each_component_from_target_or_mutant(toolbox, rows):
    random.seed(3)
    population = rows(1.0, 2.0, 4.0, 8.0)
    trials = DifferentialEvolution(crossover=0.0, scale=0.5).vary(population, toolbox)
    assert len(trials) == 4
    assert not any(trial.fitness.valid for trial in trials)
    assert genes(population) == [1.0, 2.0, 4.0, 8.0]
    others = {a + 0.5 * (b - c) for a in (2.0, 4.0, 8.0) for b in (2.0, 4.0, 8.0) for c in (2.0, 4.0, 8.0)}
    assert trials[0][0] in others


def test_a_swarm_notes_the_best_positions(toolbox, rows):
    particles = rows(1, 3)
    for particle in particles:
        particle.best = None
    swarm = ParticleSwarm()
    assert swarm.begin(particles, toolbox) is particles
    assert (swarm.best[0], particles[0].best[0], particles[0].best.best) == (3, 1, None)
    particles[0][0] = 7
    particles[0].fitness.values = (7,)
    swarm.survive(particles, particles, toolbox)
    assert (swarm.best[0], particles[0].best[0], particles[1].best[0]) == (7, 7, 3)
