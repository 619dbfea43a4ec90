"""Content of a checkpoint beside the population: strategies, selections, the classes of the script."""

import functools
import random
import subprocess
import sys
import threading

import evolution
import numpy as np
import pytest
from deap import base, creator, tools
from evolving import Pbil, bit_toolbox, bits, numbers, real_toolbox, run_some, statistics

from hpcml import evolve
from hpcml.data.out_of_band import dumps_result
from hpcml.errors import HpcmlError

pytestmark = pytest.mark.usefixtures("creator_classes")


def test_classes_stay_the_scripts_own_after_resuming(tmp_path):
    run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 2)
    last = run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 3)
    assert {type(one) for one in last.population} == {creator.Bits}
    assert len(dumps_result(last.population)) < 60 * 200


class Slotted:
    """Distribution that learns, without a dictionary."""

    __slots__ = ("chances",)
    __init__, generate, update = Pbil.__init__, Pbil.generate, Pbil.update


def counted(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


def register_strategy(toolbox, how):
    strategy = Slotted(20) if how == "slots" else Pbil(20)
    if how == "lambda":
        toolbox.register("generate", lambda: strategy.generate(creator.Bits))
        toolbox.register("update", lambda population: (strategy.update(population),))
        return
    toolbox.register("generate", strategy.generate, creator.Bits)
    toolbox.register("update", strategy.update)
    if how == "decorated":
        for name in ("generate", "update"):
            toolbox.decorate(name, counted, counted)


def run_strategy(how, place, leave=None):
    random.seed(3)
    toolbox = bit_toolbox()
    register_strategy(toolbox, how)
    found = evolve.generations(evolve.EaGenerateUpdate(), toolbox, 9, checkpoint=place, stats=statistics())
    for last in found:
        if last.number == leave:
            return None
    return [list(one) for one in last.population], list(last.logbook), random.getstate()


@pytest.mark.parametrize("how", ["bound", "decorated", "slots"])
def test_a_strategy_goes_on_from_a_checkpoint_however_it_is_registered(how, tmp_path):
    expected = run_strategy(how, tmp_path / "whole")
    assert run_strategy(how, tmp_path / "cut", 4) is None
    assert run_strategy(how, tmp_path / "cut") == expected


def test_a_strategy_that_cannot_be_found_is_refused_where_there_is_a_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="register its bound methods"):
        run_strategy("lambda", tmp_path / "state")
    run_strategy("lambda", None)


def test_a_checkpoint_with_other_strategies_is_refused(tmp_path):
    run_strategy("bound", tmp_path / "state", 3)
    with pytest.raises(HpcmlError, match="holds the state of Pbil.*belong to Slotted"):
        run_strategy("slots", tmp_path / "state")


@pytest.mark.parametrize("kind", ["generations", "steady"])
def test_the_memory_of_a_selection_goes_on_from_a_checkpoint(kind, tmp_path):
    creator.create("Two", base.Fitness, weights=(-1.0, -1.0))
    creator.create("Numbers", list, fitness=creator.Two)
    from hpcml.cluster.serial import SerialCluster

    def run(place, leave=None):
        random.seed(2)
        np.random.seed(2)
        toolbox = real_toolbox(evolution.zdt1)
        toolbox.register("select", tools.selNSGA3WithMemory(tools.uniform_reference_points(2, 12)))
        population = numbers(creator.Numbers, 20, 6)
        if kind == "steady":
            found = evolve.steady_state(
                toolbox, population, 60, SerialCluster(), checkpoint=place, every_seconds=0.0
            )
        else:
            found = evolve.generations(evolve.Nsga3(1.0, 1.0), toolbox, 9, population, checkpoint=place)
        for count, last in enumerate(found):
            if count == leave:
                return None
        memory = toolbox.select.func
        return [one.fitness.values for one in population], repr(vars(memory))

    expected = run(tmp_path / "whole")
    assert run(tmp_path / "cut", 5 if kind == "generations" else 40) is None
    assert run(tmp_path / "cut") == expected


class Program:
    """Program that no checkpoint can hold, with a method that selects."""

    def __init__(self):
        self.lock = threading.Lock()

    def select(self, individuals, k):
        return tools.selTournament(individuals, k, tournsize=3)


def test_a_selection_may_be_a_method_of_the_program(tmp_path):
    toolbox = bit_toolbox()
    toolbox.register("select", Program().select)
    for ngen in (2, 4):
        run = evolve.generations(
            evolve.EaSimple(0.5, 0.2), toolbox, ngen, bits(8), checkpoint=tmp_path / "state"
        )
        assert [one.number for one in run][-1] == ngen


SCRIPT = """
import random, sys
from deap import base, creator, gp, tools
from hpcml import evolve

class Genome(list):
    def __init__(self, content=()):
        super().__init__(content)
        self.fitness = creator.Fit()

class Own(list):
    pass

pset = gp.PrimitiveSet("MAIN", 1)
pset.addPrimitive(lambda a, b: a + b, 2, name="add")
pset.addTerminal(1)
creator.create("Fit", base.Fitness, weights=(float(sys.argv[2]),))
creator.create("Made", Own, fitness=creator.Fit, pset=pset, limits=(0, 1), names={"b", "a", "long one"})
kind = {"plain": Genome, "made": creator.Made}[sys.argv[1]]
random.seed(1)
toolbox = base.Toolbox()
toolbox.register("evaluate", lambda one: (sum(one),))
toolbox.register("mate", tools.cxTwoPoint)
toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
toolbox.register("select", tools.selTournament, tournsize=3)
population = [kind(random.choices((0, 1), k=9)) for _ in range(12)]
for one in population:
    one.note = lambda: None  # only cloudpickle can
best = tools.HallOfFame(1)
for last in evolve.generations(
    evolve.EaSimple(0.5, 0.2), toolbox, int(sys.argv[3]), population, halloffame=best, checkpoint="state"
):
    pass
assert all(isinstance(one, (Own, Genome)) and type(one) is kind for one in [*population, *best])
assert {type(one.fitness) for one in population} == {creator.Fit}
"""


def run_script(place, *arguments):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", ["plain", "made"])
def test_classes_of_the_script_stay_its_own_after_resuming(kind, tmp_path):
    for ngen in ("2", "4"):
        done = run_script(tmp_path, kind, "1.0", ngen)
        assert done.returncode == 0, done.stderr
    assert "resuming from generation 2" in done.stderr
    done = run_script(tmp_path, kind, "-1.0", "6")
    assert "HpcmlError" in done.stderr
    assert "creator.Fit is not what it was when this was written, Fitness, weights=(1.0,)" in done.stderr
