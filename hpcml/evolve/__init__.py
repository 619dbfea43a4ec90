"""Evolution with DEAP, on a Cluster or in one process: watched while it runs, stopped, and resumed."""

from hpcml.evolve.algorithms import (
    DifferentialEvolution,
    EaGenerateUpdate,
    EaMuCommaLambda,
    EaMuPlusLambda,
    EaSimple,
    Nsga2,
    Nsga3,
    ParticleSwarm,
)
from hpcml.evolve.archipelago import Epoch, islands
from hpcml.evolve.island import Island
from hpcml.evolve.loop import generations
from hpcml.evolve.plot import plot_convergence
from hpcml.evolve.state import Generation
from hpcml.evolve.steady import Arrival, steady_state

__all__ = [
    "Arrival",
    "DifferentialEvolution",
    "EaGenerateUpdate",
    "EaMuCommaLambda",
    "EaMuPlusLambda",
    "EaSimple",
    "Epoch",
    "Generation",
    "Island",
    "Nsga2",
    "Nsga3",
    "ParticleSwarm",
    "generations",
    "islands",
    "plot_convergence",
    "steady_state",
]
