"""Functions of evolutionary programs, which the contract tests send to workers."""

import functools
import operator
import os
import random
import time

import numpy as np
from deap import base, benchmarks, creator, gp

from hpcml.engines.worker import current_worker


def make_creator():
    """Make the creator's classes that all programs use."""
    for name in ("FitnessMax", "FitnessMin", "Bits", "Vector", "Tree", "Numbers", "Two", "Particle"):
        if hasattr(creator, name):
            delattr(creator, name)
    creator.create("FitnessMax", base.Fitness, weights=(1.0,))
    creator.create("FitnessMin", base.Fitness, weights=(-1.0,))
    creator.create("Bits", list, fitness=creator.FitnessMax)
    creator.create("Vector", np.ndarray, fitness=creator.FitnessMin, strategy=None)
    creator.create("Tree", gp.PrimitiveTree, fitness=creator.FitnessMin)


def count_ones(individual):
    return (sum(individual),)


def where(individual):
    """Return the content of an individual on the worker."""
    kind = type(individual)
    return kind.__name__, kind is creator.Bits, individual.fitness.valid, str(current_worker())


rastrigin, paraboloid, zdt1 = benchmarks.rastrigin, benchmarks.sphere, benchmarks.zdt1


def sphere(individual):
    return (float(np.dot(individual, individual)),)


def twice(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return tuple(2 * value for value in function(*args, **kwargs))

    return wrapper


@twice
def decorated(individual):
    return (sum(individual),)


def refuse(individual):
    if sum(individual) == 3:
        raise ValueError("three are too many")
    return (0.0,)


def refuse_all(individual):
    raise AssertionError("nothing should be evaluated")


def grow(population, toolbox, generations):
    """Evolve one island, with the toolbox's own map: a nested one."""
    for _ in range(generations):
        fitnesses = list(toolbox.map(toolbox.evaluate, population))
        for individual, fitness in zip(population, fitnesses, strict=True):
            individual.fitness.values = fitness
    return population


def two_of(one, other):
    return sum(one) - sum(other)


def weigh(individual, table):
    return (float(table[: len(individual)] @ np.asarray(individual)),)


def primitives():
    """Return a set of primitives with an ephemeral constant."""
    pset = gp.PrimitiveSet("MAIN", 1)
    pset.addPrimitive(operator.add, 2)
    pset.addPrimitive(operator.mul, 2)
    pset.addPrimitive(operator.neg, 1)
    pset.addEphemeralConstant("constant", functools.partial(random.randint, -1, 1))
    return pset


def evaluate_tree(tree, pset, points):
    function = gp.compile(tree, pset)
    return (sum((function(x) - x * x) ** 2 for x in points),)


def noisy_count(individual):
    return (sum(individual) + random.random() + np.random.random(),)


def slow_ones(individual):
    time.sleep(0.001 * random.random())
    return (sum(individual),)


def slow_zeros(individual):
    time.sleep(0.01 if any(individual) else 1.5)
    return (sum(individual),)


def move(particle, best):
    """Move a particle towards its own best position and that of all."""
    for place in range(len(particle)):
        own = random.uniform(0, 1.5) * (particle.best[place] - particle[place])
        all_ = random.uniform(0, 1.5) * (best[place] - particle[place])
        particle.speed[place] = 0.7 * particle.speed[place] + own + all_
        particle[place] += particle.speed[place]


def process(individual):
    """Return 1 in the driver and 0 on a worker; process numbers would repeat on another node."""
    return (float(current_worker() is None),)


def meddle(individual):
    """Change every part of an individual that an evaluation can change."""
    individual[0] = 7
    individual.append(1)
    individual.note = "changed"
    individual.fitness.values = (3.0,)
    return (float(sum(individual)),)


def draw(individual):
    return random.random() + np.random.rand(), *process(None)


def improve(individual):
    """Return an improved individual, as a local search does."""
    individual[0] += 100
    return individual


def swap(one, other):
    one[0], other[0] = other[0], one[0]
    return one, other


def slow_after(individual, flag):
    if os.path.exists(flag):
        time.sleep(0.05)
    return process(individual)


class Counter:
    """Evaluation with a state of its own."""

    def __init__(self):
        self.calls = 0

    def __call__(self, individual):
        self.calls += 1
        return (float(self.calls),)
