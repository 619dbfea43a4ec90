"""Evolution with DEAP under `hpcml run --engine scoop`."""

CMA = """
import numpy
from deap import algorithms, base, benchmarks, cma, creator, tools
from scoop import futures

creator.create("FitnessMin", base.Fitness, weights=(-1.0,))
creator.create("Individual", list, fitness=creator.FitnessMin)
toolbox = base.Toolbox()
toolbox.register("evaluate", benchmarks.rastrigin)
toolbox.register("map", futures.map)

def search(generations=15):
    numpy.random.seed(128)
    strategy = cma.Strategy(centroid=[5.0] * 5, sigma=5.0, lambda_=20)
    toolbox.register("generate", strategy.generate, creator.Individual)
    toolbox.register("update", strategy.update)
    best = tools.HallOfFame(1)
    algorithms.eaGenerateUpdate(toolbox, ngen=generations, halloffame=best, verbose=False)
    return best[0].fitness.values[0]
"""


def test_cma_es_on_rastrigin_equals_one_process(run):
    main = "found = search()\ntoolbox.register('map', map)\nprint(found == search(), found)"
    done = run(CMA, main=main)
    assert done.status == 0, done.err
    assert done.out.startswith("True ")


ISLANDS = """
import array, functools, random
from deap import algorithms, base, creator, tools
from scoop import futures

creator.create("FitnessMax", base.Fitness, weights=(1.0,))
creator.create("Individual", array.array, typecode="b", fitness=creator.FitnessMax)

def counted(function):
    @functools.wraps(function)
    def wrapper(individual):
        return function(individual)
    return wrapper

@counted
def ones(individual):
    return (sum(individual),)

toolbox = base.Toolbox()
toolbox.register("bit", random.randint, 0, 1)
toolbox.register("individual", tools.initRepeat, creator.Individual, toolbox.bit, 30)
toolbox.register("population", tools.initRepeat, list, toolbox.individual)
toolbox.register("evaluate", ones)
toolbox.register("mate", tools.cxTwoPoint)
toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
toolbox.register("select", tools.selTournament, tournsize=3)
toolbox.register("map", futures.map)
"""
ISLANDS_MAIN = """
    random.seed(64)
    islands = [toolbox.population(n=30) for _ in range(3)]
    for name in ("bit", "individual", "population"):
        toolbox.unregister(name)
    toolbox.register("evolve", algorithms.eaSimple, toolbox=toolbox, cxpb=0.5, mutpb=0.2, ngen=3, verbose=False)
    for _ in range(3):
        islands = [population for population, _ in toolbox.map(toolbox.evolve, islands)]
        tools.migRing(islands, 5, tools.selBest)
    best = max(individual.fitness.values[0] for island in islands for individual in island)
    print([len(island) for island in islands], best > 20)
"""


def test_islands_may_map_within_a_map(run):
    """The toolbox and its decorated function are sent with each task; plain pickle cannot do that."""
    done = run(ISLANDS, main=ISLANDS_MAIN)
    assert done.status == 0, done.err
    assert done.out == "[30, 30, 30] True\n"
