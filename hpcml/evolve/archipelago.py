"""Islands: populations that evolve separately, and send their best to each other after each epoch."""

import copy
import functools
import logging
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcml.data.out_of_band import dumps_result
from hpcml.evolve.interface import Algorithm, Population, Toolbox
from hpcml.evolve.island import Island, Migration, evolve_island
from hpcml.evolve.random_streams import get_states, new_seed, set_states, states_of_seed
from hpcml.evolve.saved_state import pack_state, unpack_state
from hpcml.journal.checkpoint import Checkpoint

__all__ = ["Epoch", "islands"]

log = logging.getLogger("hpcml")

TOPOLOGIES = ("ring", "random")


@dataclass
class Epoch:
    """State of the islands after an epoch, before the migration.

    Parameters
    ----------
    number
        Counted from 1.
    """

    number: int
    islands: list[Island]

    @property
    def populations(self) -> list[Population]:
        """The population of each island."""
        return [island.population for island in self.islands]

    @property
    def best(self) -> Any:
        """The best individual of all."""
        return max((one for population in self.populations for one in population), key=lambda one: one.fitness)


def islands(
    algorithm: Algorithm,
    toolbox: Toolbox,
    populations: Sequence[Population],
    ngen: int,
    *,
    every: int = 5,
    migrants: int = 1,
    topology: str = "ring",
    seed: Any = None,
    stats: Any = None,
    checkpoint: str | Path | None = None,
    comm: Any = None,
) -> Iterator[Epoch]:
    """Evolve islands at the same time, one task each, and yield after each epoch.

    Results do not depend on the workers or ranks that the islands run on.

    Parameters
    ----------
    algorithm, toolbox
        As for `hpcml.evolve.generations`. ``toolbox.map`` runs the islands. Each island evaluates its individuals
        in its own process, and has its own copy of a selection with a memory. Strategies that generate
        (`hpcml.evolve.EaGenerateUpdate`) have no islands.
    populations
        One list for each island. The lists stay as they are: islands evolve copies (``toolbox.clone``).
    ngen
        Generations in all.
    every
        Generations between two migrations: an epoch.
    migrants
        Number of the best individuals that are sent from each island; they replace the worst of the next.
    topology
        ``"ring"``: to the next island; ``"random"``: along a ring in another order each time.
    seed
        Seed of the streams of random numbers, one for each island and one for the migration. By default it follows
        from the states of `random` and `numpy.random`, of several ranks the first one's: seed both, or give one.
    stats
        DEAP's, or None; each island has a logbook.
    checkpoint
        A file for the islands after each epoch and the body of the loop, as in `hpcml.evolve.generations`.
    comm
        A communicator of mpi4py, on whose ranks the islands run in place of ``toolbox.map``: all ranks call this
        with the same arguments and get the same epochs; the first one reads and writes the checkpoint.

    Raises
    ------
    ValueError
        An argument is out of range, or the algorithm generates its individuals.
    HpcmlError
        The checkpoint is that of other islands, not this user's own, in use by another process, or cannot be
        written there.

    Examples
    --------
    >>> import random
    >>> from deap import base, creator, tools
    >>> from hpcml import evolve
    >>> creator.create("Most", base.Fitness, weights=(1.0,))
    >>> creator.create("Row", list, fitness=creator.Most)
    >>> toolbox = base.Toolbox()
    >>> toolbox.register("evaluate", lambda row: (sum(row),))
    >>> toolbox.register("mate", tools.cxTwoPoint)
    >>> toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    >>> toolbox.register("select", tools.selTournament, tournsize=3)
    >>> random.seed(1)
    >>> populations = [[creator.Row(random.choices((0, 1), k=20)) for _ in range(20)] for _ in range(3)]
    >>> for epoch in evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, populations, 40, seed=1):
    ...     pass
    >>> epoch.number, epoch.best.fitness.values
    (8, (20.0,))
    """
    if topology not in TOPOLOGIES:
        raise ValueError(f"topology={topology!r}: there are {' and '.join(map(repr, TOPOLOGIES))}")
    if algorithm.generates:
        raise ValueError("a strategy that generates has no population to migrate: run several, with other seeds")
    if every < 1 or migrants < 0:
        raise ValueError(
            f"every={every}, migrants={migrants}: take an epoch of 1 generation or more, and 0 or more"
        )
    inner = copy.copy(toolbox)
    inner.register("map", map)

    def _evolve_all(found: list[Island], span: int) -> list[Island]:
        work = functools.partial(evolve_island, toolbox=inner, span=span, stats=stats)
        return list(toolbox.map(work, found)) if comm is None else _on_ranks(work, found, comm)

    about = (algorithm, len(populations), every, migrants, topology, seed)
    with closing(_SharedCheckpoint(checkpoint, about, comm)) as file:
        if seed is None:
            seed = new_seed() if comm is None else comm.bcast(new_seed())
        found = [
            Island(population, copy.deepcopy(algorithm), states_of_seed(f"{seed} island {number}"))
            for number, population in enumerate(populations)
        ]
        order = random.Random(f"{seed} migration")
        migration = Migration(every, migrants, topology, order, toolbox.clone)
        yield from _epochs(found, ngen, _evolve_all, migration, file)


def _epochs(
    found: list[Island],
    ngen: int,
    evolve: Callable[[list[Island], int], list[Island]],
    migration: Migration,
    file: "_SharedCheckpoint",
) -> Iterator[Epoch]:
    last = -(-ngen // migration.every)
    done = 0
    if (saved := file.read()) is not None:
        found = saved["islands"]
        done = saved["epoch"]
        migration.order.setstate(saved["order"])
        set_states(saved["states"])
    if done >= last:  # the evolution has ended already: its caller still sees the result
        yield Epoch(done, found)
    for epoch in range(done + 1, last + 1):
        found = evolve(found, min(migration.every, ngen - (epoch - 1) * migration.every))
        yield Epoch(epoch, found)
        if epoch < last:
            migration.migrate([island.population for island in found])
        order = migration.order.getstate()
        file.write({"islands": found, "epoch": epoch, "order": order, "states": get_states()})


class _SharedCheckpoint:
    """Checkpoint of all ranks, if any: the first rank reads and writes the file."""

    def __init__(self, path: str | Path | None, about: Any, comm: Any) -> None:
        self._about = about
        self._comm = comm
        self._path = path
        self._is_first = comm is None or comm.rank == 0
        self._file: Checkpoint | None = None

    def read(self) -> dict[str, Any] | None:
        """Return the state that was written last, on all ranks."""
        if self._path is None:
            return None
        packed: bytes | None = None
        error: Exception | None = None
        if self._is_first:
            try:
                self._file = Checkpoint(self._path)
                packed = self._file.read() if self._file.exists() else None
            except Exception as raised:  # all ranks must fail with this error
                error = raised
        if self._comm is not None:
            packed, error = self._comm.bcast((packed, error))
        if error is not None:
            raise error
        if packed is None:
            return None
        saved = unpack_state(packed, self._about, Path(self._path))
        if self._is_first:
            log.warning("resuming from epoch %d of %s", saved["epoch"], self._path)
        return saved

    def write(self, state: dict[str, Any]) -> None:
        """Write the state of all islands, on the first rank."""
        if self._file is not None:
            self._file.write(lambda: pack_state(self._about, state))

    def close(self) -> None:
        """Close the checkpoint."""
        if self._file is not None:
            self._file.close()


def _on_ranks(evolve: Callable[[Island], Island], found: list[Island], comm: Any) -> list[Island]:
    """Evolve the islands of this rank, and return those of all ranks."""
    mine = [evolve(island) for island in found[comm.rank :: comm.size]]
    everyone = [pickle.loads(packed) for packed in comm.allgather(dumps_result(mine))]
    return [everyone[number % comm.size][number // comm.size] for number in range(len(found))]
