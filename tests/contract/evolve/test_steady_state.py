"""`hpcml.evolve.steady_state`: no worker waits, and the order of arrivals repeats the evolution."""

import random

import evolution
import pytest
from deap import creator, tools
from evolution import slow_ones
from evolving import bit_toolbox, bits, steady

from hpcml import evolve

pytestmark = pytest.mark.usefixtures("creator_classes")


def test_steady_state_can_be_repeated_by_its_order(cluster):
    def run(executor, order=None):
        random.seed(6)
        best = tools.HallOfFame(1)
        population = bits(30)
        for arrival in evolve.steady_state(
            bit_toolbox(evaluate=slow_ones), population, 200, executor, in_flight=6, halloffame=best, order=order
        ):
            pass
        assert len(population) == 30
        return [list(one) for one in population], best[0], arrival.order

    first = run(cluster)
    assert sorted(first[2]) == list(range(200))
    assert run(cluster, first[2]) == first
    from hpcml.cluster.serial import SerialCluster

    assert run(SerialCluster(), first[2]) == first
    with pytest.raises(ValueError, match="order is of another"):
        run(cluster, list(reversed(range(200))))


def test_steady_state_does_not_wait_for_the_slowest(cluster):
    """The first individual takes long; meanwhile others are evaluated, and their offspring too."""
    random.seed(6)
    population = [creator.Bits([0] * 20), *(creator.Bits([1] * 20) for _ in range(11))]
    toolbox = bit_toolbox(evaluate=evolution.slow_zeros)
    for arrival in evolve.steady_state(toolbox, population, 60, cluster):
        pass
    assert arrival.order.index(0) > 2 * 12


def test_an_evaluation_that_fails_ends_the_steady_state(cluster):
    with pytest.raises(ValueError, match="three"):
        for _ in evolve.steady_state(
            bit_toolbox(evaluate=evolution.refuse), [creator.Bits([1, 1, 1]) for _ in range(8)], 20, cluster
        ):
            pass


def test_a_resumed_steady_state_evaluates_the_individuals_in_flight_again(cluster, tmp_path):
    """A steady state that is left and resumed equals the one that its order gives in one piece."""
    from hpcml.cluster.serial import SerialCluster

    def run(executor, leave=1000, **settings):
        random.seed(6)
        population = bits(30)
        toolbox = bit_toolbox(evaluate=slow_ones)
        for arrival in evolve.steady_state(toolbox, population, 200, executor, in_flight=6, **settings):
            if len(arrival.order) == leave:
                return None
        return [(list(one), one.fitness.values) for one in population], list(arrival.individual), arrival.order

    file = {"checkpoint": tmp_path / "state", "every_seconds": 0.0}
    assert run(cluster, 80, **file) is run(cluster, 130, **file) is None
    ended = run(cluster, **file)
    assert sorted(ended[2]) == list(range(200))
    assert run(SerialCluster(), order=ended[2]) == ended
    assert run(cluster, **file) == ended  # it had ended before


@pytest.mark.parametrize("settings", [{"in_flight": 0}, {"in_flight": -1}, {"evaluations": 0}, {}])
def test_a_steady_state_that_could_never_end_is_refused(settings):
    population = bits(8) if settings else []
    with pytest.raises(ValueError, match="each must be 1 or more"):
        next(steady(population, **settings))
    assert len(population) == (8 if settings else 0)


def test_a_steady_state_that_had_ended_continues_with_more_evaluations(tmp_path):
    def run(evaluations, in_flight):
        random.seed(1)
        settings = {"in_flight": in_flight, "checkpoint": tmp_path / "state", "every_seconds": 0.0}
        *_, last = steady(bits(8), evaluations=evaluations, **settings)
        return last.order

    assert run(5, 2) == list(range(5))
    assert run(20, 2) == list(range(20))
    assert sorted(run(40, 4)) == list(range(40))
