"""Algorithms for `hpcml.evolve.generations`: variation, and selection of the survivors.

The first four draw their random numbers in the order in which DEAP's functions of these names do, so that the
same seed gives the same logbook. Particle swarms and differential evolution are synchronous: all individuals are
evaluated, then all are updated. DEAP's examples update one after the other, and then no two evaluations can run at
the same time.

Checkpoints hold the names of these classes and of this module.
"""

import random
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hpcml.evolve.interface import Population, Toolbox

__all__ = [
    "DifferentialEvolution",
    "EaGenerateUpdate",
    "EaMuCommaLambda",
    "EaMuPlusLambda",
    "EaSimple",
    "Nsga2",
    "Nsga3",
    "ParticleSwarm",
]


class _Algorithm:
    """Base of the algorithms here: no condition on the first population, which is taken as it is."""

    generates: ClassVar[bool] = False

    def check(self, population: Population) -> None:
        """Raise ValueError if the algorithm cannot begin with this population; called before the evaluation."""

    def begin(self, population: Population, toolbox: Toolbox) -> Population:
        """Return the first population."""
        return population


@dataclass
class EaSimple(_Algorithm):
    """`deap.algorithms.eaSimple`: the offspring replace their parents.

    Parameters
    ----------
    cxpb, mutpb
        Probabilities that two individuals mate, and that one mutates.
    """

    cxpb: float
    mutpb: float

    def vary(self, population: Population, toolbox: Toolbox) -> Population:
        """Select as many as the population has, and vary them."""
        from deap.algorithms import varAnd

        return list(varAnd(toolbox.select(population, len(population)), toolbox, self.cxpb, self.mutpb))

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Return the offspring."""
        return offspring


@dataclass
class EaMuPlusLambda(_Algorithm):
    """`deap.algorithms.eaMuPlusLambda`: the `mu` selected of parents and `lambda_` offspring survive."""

    mu: int
    lambda_: int
    cxpb: float
    mutpb: float

    def vary(self, population: Population, toolbox: Toolbox) -> Population:
        """Make each offspring by a crossover, a mutation or a copy."""
        from deap.algorithms import varOr

        return list(varOr(population, toolbox, self.lambda_, self.cxpb, self.mutpb))

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Select from parents and offspring."""
        return list(toolbox.select(population + offspring, self.mu))


@dataclass
class EaMuCommaLambda(EaMuPlusLambda):
    """`deap.algorithms.eaMuCommaLambda`: the `mu` selected of `lambda_` offspring survive."""

    def __post_init__(self) -> None:
        if self.lambda_ < self.mu:
            raise ValueError(
                f"lambda_={self.lambda_} must not be less than mu={self.mu}, which are selected of them"
            )

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Select from the offspring."""
        return list(toolbox.select(offspring, self.mu))


@dataclass
class EaGenerateUpdate(_Algorithm):
    """`deap.algorithms.eaGenerateUpdate`: a strategy generates individuals and is updated (CMA-ES, PBIL, EMNA).

    There is no first population: ``toolbox.generate`` makes generation 0.
    """

    generates: ClassVar[bool] = True

    def vary(self, population: Population, toolbox: Toolbox) -> Population:
        """Generate individuals."""
        return list(toolbox.generate())

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Update the strategy."""
        toolbox.update(offspring)
        return offspring


@dataclass
class Nsga2(_Algorithm):
    """NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017), with ``toolbox.select = tools.selNSGA2``.

    Tournaments by rank and crowding; each pair mates with probability `cxpb`, and all individuals mutate. The size
    of the population must be a multiple of four.
    """

    cxpb: float

    def check(self, population: Population) -> None:
        """Raise ValueError unless tournaments of four use up the population."""
        if len(population) % 4:
            raise ValueError(
                f"the population of NSGA-II has {len(population)} individuals: take a multiple of four"
            )

    def begin(self, population: Population, toolbox: Toolbox) -> Population:
        """Assign the crowding distances that the tournaments need."""
        return list(toolbox.select(population, len(population)))

    def vary(self, population: Population, toolbox: Toolbox) -> Population:
        """Select by tournament, mate, and mutate."""
        from deap.tools import selTournamentDCD

        offspring = [toolbox.clone(one) for one in selTournamentDCD(population, len(population))]
        for one, other in zip(offspring[::2], offspring[1::2], strict=True):
            if random.random() <= self.cxpb:
                toolbox.mate(one, other)
            toolbox.mutate(one)
            toolbox.mutate(other)
            del one.fitness.values, other.fitness.values
        return offspring

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Select from parents and offspring."""
        return list(toolbox.select(population + offspring, len(population)))


@dataclass
class Nsga3(_Algorithm):
    """NSGA-III (Deb and Jain 2014, doi:10.1109/TEVC.2013.2281535), with ``toolbox.select = tools.selNSGA3``."""

    cxpb: float
    mutpb: float

    def vary(self, population: Population, toolbox: Toolbox) -> Population:
        """Mate and mutate."""
        from deap.algorithms import varAnd

        return list(varAnd(population, toolbox, self.cxpb, self.mutpb))

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Select from parents and offspring."""
        return list(toolbox.select(population + offspring, len(population)))


@dataclass
class DifferentialEvolution(_Algorithm):
    """DE/rand/1/bin (Storn and Price 1997, doi:10.1023/A:1008202821328).

    Parameters
    ----------
    crossover
        Probability that a component comes from the mutant: CR.
    scale
        Factor of the difference: F.
    """

    crossover: float = 0.5
    scale: float = 0.8

    def check(self, population: Population) -> None:
        """Raise ValueError for fewer than four individuals: a mutant is made of three others."""
        if len(population) < 4:
            raise ValueError(f"differential evolution needs four individuals or more, not {len(population)}")

    def vary(self, population: Population, toolbox: Toolbox) -> Population:
        """Return one trial for each individual."""
        return [self._trial(number, population, toolbox) for number in range(len(population))]

    def _trial(self, number: int, population: Population, toolbox: Toolbox) -> Any:
        others = [one for place, one in enumerate(population) if place != number]
        a, b, c = random.sample(others, 3)
        trial = toolbox.clone(population[number])
        always = random.randrange(len(trial))
        for place in range(len(trial)):
            if place == always or random.random() < self.crossover:
                trial[place] = a[place] + self.scale * (b[place] - c[place])
        del trial.fitness.values
        return trial

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Keep each trial that is not worse than its target."""
        pairs = zip(population, offspring, strict=True)
        return [target if target.fitness > trial.fitness else trial for target, trial in pairs]


@dataclass
class ParticleSwarm(_Algorithm):
    """A particle swarm (Kennedy and Eberhart 1995, doi:10.1109/ICNN.1995.488968).

    ``toolbox.update(particle, best)`` moves a particle, as in DEAP's examples. Each particle has an attribute
    ``best``, None at first. ``best`` of the algorithm is the best position so far.
    """

    best: Any = field(default=None, compare=False)

    def begin(self, population: Population, toolbox: Toolbox) -> Population:
        """Note the first positions."""
        return self.survive([], population, toolbox)

    def vary(self, population: Population, toolbox: Toolbox) -> Population:
        """Move all particles."""
        for particle in population:
            toolbox.update(particle, self.best)
            del particle.fitness.values
        return population

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Note the best positions."""
        for particle in offspring:
            if particle.best is None or particle.best.fitness < particle.fitness:
                particle.best = toolbox.clone(particle)
                particle.best.best = None  # else each best would hold the best before it
            if self.best is None or self.best.fitness < particle.fitness:
                self.best = toolbox.clone(particle.best)
        return offspring
