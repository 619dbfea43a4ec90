"""Migration between islands: the best replace the worst of the next island, as copies."""

import copy
import random

import pytest

from hpcml.evolve.island import Migration


def genes(populations):
    return [sorted(one[0] for one in population) for population in populations]


def migration(migrants, topology="ring"):
    return Migration(1, migrants, topology, random.Random(1), copy.deepcopy)


@pytest.mark.parametrize(
    ("migrants", "after"),
    [
        (0, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (1, [[2, 3, 9], [3, 5, 6], [6, 8, 9]]),
        (2, [[3, 8, 9], [2, 3, 6], [5, 6, 9]]),
        (9, [[7, 8, 9], [1, 2, 3], [4, 5, 6]]),
    ],
)
def test_the_best_replace_the_worst_along_the_ring(migrants, after, rows):
    populations = [rows(1, 2, 3), rows(4, 5, 6), rows(7, 8, 9)]
    migration(migrants).migrate(populations)
    assert genes(populations) == after


def test_migrants_are_copies(rows):
    populations = [rows(1, 9), rows(1, 2)]
    migration(1).migrate(populations)
    (arrived,) = (one for one in populations[1] if one[0] == 9)
    assert all(one is not arrived for one in populations[0])
    assert arrived.fitness.values == (9.0,)


def test_a_random_topology_is_a_ring_in_another_order(rows):
    """Each island sends to one other, and receives from one other."""
    populations = [rows(10 * island, 10 * island + 1) for island in range(6)]
    best = [10 * island + 1 for island in range(6)]
    migration(1, "random").migrate(populations)
    arrived = [
        [one[0] for one in population if one[0] // 10 != island] for island, population in enumerate(populations)
    ]
    assert sorted(gene for one in arrived for gene in one) == best
    assert all(len(one) == 1 for one in arrived)
    ring = [rows(10 * island, 10 * island + 1) for island in range(6)]
    migration(1).migrate(ring)
    assert genes(ring) != genes(populations)
