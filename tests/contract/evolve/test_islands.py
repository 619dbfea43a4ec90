"""`hpcml.evolve.islands`: the same results on any map, and states that belong to one island each."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import evolution
import numpy as np
import pytest
from deap import base, creator, tools
from evolving import archipelago, bit_toolbox, bits, numbers, real_toolbox, several_statistics

from hpcml import evolve

pytestmark = pytest.mark.usefixtures("creator_classes")


@pytest.mark.parametrize("topology", ["ring", "random"])
def test_islands_as_tasks_equal_those_of_one_process(cluster, topology):
    found = archipelago(cluster.map, topology)
    assert found == archipelago(map, topology)
    assert found != archipelago(map, topology, seed=1)
    assert found != archipelago(map, topology, migrants=0)


def test_islands_on_ranks_of_mpi_equal_those_of_one_process(tmp_path):
    program = Path(__file__).parents[1] / "helpers" / "ranks.py"
    argv = ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "3", sys.executable, program, tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    found = [(tmp_path / f"rank-{rank}").read_text() for rank in range(3)]
    assert found == [archipelago(map, "ring")] * 3


def test_an_island_without_migrants_is_one_evolution():
    """Without migrants, an island is one evolution of 12 generations."""
    random.seed(8)
    populations = [bits(20)]
    toolbox = bit_toolbox()
    for epoch in evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, populations, 12, every=5, migrants=0):
        pass
    assert epoch.islands[0].logbook.select("gen") == list(range(13))
    assert epoch.number == 3


def test_the_memory_of_a_selection_is_each_islands_own(cluster):
    creator.create("Two", base.Fitness, weights=(-1.0, -1.0))
    creator.create("Numbers", list, fitness=creator.Two)

    def run(map_, number, every):
        random.seed(2)
        toolbox = real_toolbox(evolution.zdt1)
        memory = tools.selNSGA3WithMemory(tools.uniform_reference_points(2, 12))
        toolbox.register("select", memory)
        toolbox.register("map", map_)
        before = repr(vars(memory))
        populations = [numbers(creator.Numbers, 20, 6) for _ in range(3)][:number]
        settings = {"every": every, "migrants": 0, "seed": 5}
        *_, epoch = evolve.islands(evolve.Nsga3(1.0, 1.0), toolbox, populations, 8, **settings)
        assert repr(vars(memory)) == before
        return [[one.fitness.values for one in population] for population in epoch.populations]

    whole = run(map, 3, 8)
    assert [run(map, number, 8)[-1] for number in (1, 2, 3)] == whole
    assert run(map, 3, 2) == whole
    assert run(cluster.map, 3, 2) == whole


class Remembering:
    """Selection that has no memory before its first call."""

    def __call__(self, individuals, k):
        self.seen = [*getattr(self, "seen", []), len(individuals)]
        return tools.selBest(individuals, k)


def test_a_memory_that_a_selection_begins_is_each_islands_own(cluster):
    random.seed(8)
    populations = [bits(20), bits(20)]
    for map_ in (map, cluster.map):
        toolbox = bit_toolbox()
        toolbox.register("select", selection := Remembering())
        toolbox.register("map", map_)
        *_, epoch = evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, populations, 4, every=2, seed=1)
        assert [island.selections for island in epoch.islands] == [[("Remembering", {"seen": [20] * 4})]] * 2
        assert not vars(selection)


def test_islands_share_a_selection_that_cannot_be_copied(tmp_path):
    class Locked:
        def __init__(self):
            self.lock = threading.Lock()
            self.calls = 0

        def __call__(self, individuals, k):
            self.calls += 1
            return tools.selBest(individuals, k)

    random.seed(8)
    toolbox = bit_toolbox()
    locked = Locked()
    toolbox.register("select", locked)
    settings = {"every": 2, "seed": 1, "checkpoint": tmp_path / "state"}
    for _ in evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, [bits(20), bits(20)], 4, **settings):
        pass
    assert locked.calls == 2 * 4


def test_islands_do_not_copy_the_program_whose_methods_are_registered():
    """The program's data would be sent with each island, in both directions."""

    class Data:
        def __deepcopy__(self, memo):
            copied.append(self)
            return self

    class Program:
        def __init__(self):
            self.data = Data()

        def update(self, particle, best):
            return particle

    copied = []
    random.seed(8)
    toolbox = bit_toolbox()
    toolbox.register("update", Program().update)
    *_, epoch = evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, [bits(20), bits(20)], 4, every=2, seed=1)
    assert not copied
    assert not any(island.selections for island in epoch.islands)


def test_unknown_topologies_and_strategies_are_refused():
    with pytest.raises(ValueError, match="'ring' and 'random'"):
        next(evolve.islands(evolve.EaSimple(0.5, 0.2), bit_toolbox(), [bits()], 1, topology="star"))
    with pytest.raises(ValueError, match="no population to migrate"):
        next(evolve.islands(evolve.EaGenerateUpdate(), bit_toolbox(), [bits()], 1))


def test_the_logbooks_of_islands_have_all_chapters(tmp_path):
    for epoch in evolve.islands(
        evolve.EaSimple(0.5, 0.2), bit_toolbox(), [bits(8)], 7, every=3, migrants=0, stats=several_statistics()
    ):
        pass
    book = epoch.islands[0].logbook
    assert book.select("gen") == list(range(8))
    for name, column in (("fitness", "best"), ("size", "mean")):
        assert book.chapters[name].select("gen") == list(range(8))
        assert None not in book.chapters[name].select(column)
    assert len(str(book).splitlines()) == 8 + 3
    with pytest.raises(ValueError, match=r'logbook.chapters\["fitness"\]'):
        evolve.plot_convergence(book, tmp_path / "all.svg")
    evolve.plot_convergence(book.chapters["fitness"], tmp_path / "fitness.svg")


def test_islands_do_not_change_the_given_populations(cluster):
    def run(map_, seed):
        random.seed(1)
        populations = [bits(8), bits(8)]
        given = [[(id(one), list(one)) for one in population] for population in populations]
        random.seed(seed)
        np.random.seed(1)
        epochs = list(
            evolve.islands(evolve.EaSimple(0.5, 0.2), bit_toolbox(map_), populations, 4, every=2, migrants=0)
        )
        assert given == [[(id(one), list(one)) for one in population] for population in populations]
        assert not any(one.fitness.valid for population in populations for one in population)
        return repr([epoch.populations for epoch in epochs])

    assert run(map, 1) == run(cluster.map, 1)
    assert run(map, 1) != run(map, 2)


@pytest.mark.parametrize("settings", [{"every": 0}, {"every": -2}, {"migrants": -1}])
def test_epochs_of_no_generations_are_refused(settings):
    with pytest.raises(ValueError, match="an epoch of 1 generation or more"):
        next(evolve.islands(evolve.EaSimple(0.5, 0.2), bit_toolbox(), [bits(8)], 4, **settings))
