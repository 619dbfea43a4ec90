"""Evolutions that are cut off and resumed from their checkpoint."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import evolution
import pytest
from deap import tools
from evolving import bit_toolbox, bits, run_some, steady

from hpcml import evolve
from hpcml.errors import HpcmlError

pytestmark = pytest.mark.usefixtures("creator_classes")

PROGRAM = Path(__file__).parents[1] / "helpers" / "resumed_evolution.py"


def evolve_program(place, mode, **environment):
    return subprocess.run(
        [sys.executable, PROGRAM, mode],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("mode", ["simple", "cma", "swarm", "islands", "steady"])
def test_a_run_that_is_killed_and_resumed_ends_as_the_uncut_one(mode, tmp_path):
    """The program is killed after a few generations, while writing, and while evaluating; and raises."""
    whole = tmp_path / "whole"
    whole.mkdir()
    assert evolve_program(whole, mode).returncode == 0
    expected = (whole / "outcome").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    all_kinds = mode in ("simple", "steady")
    for kill in ("generation 2", "evaluation 70", "write 2", "write 1", "generation 1")[: 5 if all_kinds else 3]:
        done = evolve_program(cut, mode, KILL=kill)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (cut / "outcome").exists()
    for kill in ("evaluation 30", "generation 1", "evaluation 90")[: 3 if all_kinds else 1]:
        done = evolve_program(cut, mode, KILL=kill, RAISE="1")
        assert "\nRuntimeError: now\n" in done.stderr
    done = evolve_program(cut, mode)
    assert done.returncode == 0, done.stderr
    assert "resuming " in done.stderr
    assert (cut / "outcome").read_bytes() == expected
    assert (cut / "state").stat().st_mode & 0o777 == 0o600


def test_the_checkpoint_of_other_islands_is_refused(tmp_path):
    def run(**settings):
        algorithm, populations = evolve.EaSimple(0.5, 0.2), [bits(), bits()]
        settings["checkpoint"] = tmp_path / "state"
        for epoch in evolve.islands(algorithm, bit_toolbox(), populations, 4, **settings):
            pass
        return epoch

    ended = run(every=2)
    assert run(every=2).populations == ended.populations
    with pytest.raises(HpcmlError, match="remove the file to begin anew"):
        run(every=3)


def test_a_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path, caplog):
    place = tmp_path / "state"
    run_some(place, evolve.EaSimple(0.5, 0.2), 5)
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    assert run_some(place, evolve.EaSimple(0.5, 0.2), 8).number == 8
    assert "damaged" in caplog.text
    assert "resuming from generation" in caplog.text


def test_a_checkpoint_is_written_at_its_intervals_and_at_the_end(tmp_path, caplog):
    place = tmp_path / "state"

    def leave_in(number, **how_often):
        run = evolve.generations(
            evolve.EaSimple(0.5, 0.2), bit_toolbox(), 9, bits(), checkpoint=place, **how_often
        )
        for generation in run:
            if generation.number == number:
                return

    leave_in(8, every_seconds=1000)
    assert not place.exists()
    leave_in(8, every=3)  # of generations 0 to 7, which are complete, 2 and 5 are kept
    leave_in(8, every=3)
    assert "resuming from generation 5" in caplog.text
    leave_in(None, every_seconds=1000)
    leave_in(None)
    assert "resuming from generation 9" in caplog.text


def test_the_checkpoint_of_another_algorithm_is_refused(tmp_path):
    run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 2)
    with pytest.raises(HpcmlError, match=r"EaSimple\(cxpb=0.5.*EaSimple\(cxpb=0.6"):
        run_some(tmp_path / "state", evolve.EaSimple(0.6, 0.2), 2)


def test_a_checkpoint_that_others_can_read_is_refused(tmp_path):
    run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 2)
    (tmp_path / "state").chmod(0o644)
    with pytest.raises(HpcmlError, match="chmod"):
        run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 2)


@pytest.mark.parametrize("kind", ["generations", "islands", "steady"])
def test_a_checkpoint_is_released_when_its_loop_is_left(kind, tmp_path):
    place = tmp_path / "state"

    def run():
        if kind == "islands":
            return evolve.islands(
                evolve.EaSimple(0.5, 0.2), bit_toolbox(), [bits(8), bits(8)], 9, every=3, checkpoint=place
            )
        if kind == "steady":
            return steady(bits(8), checkpoint=place, every_seconds=0.0)
        return evolve.generations(evolve.EaSimple(0.5, 0.2), bit_toolbox(), 9, bits(8), checkpoint=place)

    for _ in range(2):
        for count, _last in enumerate(run()):
            if count == 1:
                break
    held = run()
    next(held)
    with pytest.raises(HpcmlError, match="is at work with the checkpoint"):
        next(run())
    held.close()
    with pytest.raises(RuntimeError, match="now"):
        for _last in run():
            raise RuntimeError("now")
    list(run())


def test_a_checkpoint_that_cannot_be_written_is_refused_before_any_evaluation(tmp_path):
    toolbox = bit_toolbox(evaluate=evolution.refuse_all)
    with pytest.raises(HpcmlError, match="there is no directory"):
        next(evolve.generations(evolve.EaSimple(0.5, 0.2), toolbox, 9, bits(8), checkpoint=tmp_path / "no/state"))


@pytest.mark.parametrize("kind", ["generations", "steady"])
def test_the_best_so_far_stay_the_best_in_another_hall_of_fame(kind, tmp_path):
    def run(best, more):
        random.seed(1)
        if kind == "steady":
            found = steady(bits(8), evaluations=20 + more, halloffame=best, checkpoint=tmp_path / "state")
        else:
            algorithm = evolve.EaSimple(0.5, 0.2)
            found = evolve.generations(
                algorithm, bit_toolbox(), 5 + more, bits(8), halloffame=best, checkpoint=tmp_path / "state"
            )
        *_, last = found
        return last.population

    population = run(None, 0)
    first = tools.HallOfFame(3)
    run(first, 0)
    assert first[0].fitness == max(one.fitness for one in population)
    first = tools.HallOfFame(3)
    run(first, 1)
    for other in (tools.HallOfFame(2), tools.ParetoFront(), tools.HallOfFame(5), tools.HallOfFame(3)):
        size = other.maxsize
        run(other, 1)
        assert other[0].fitness == first[0].fitness
        assert all(list(one) in list(map(list, first)) for one in other)
        assert other.maxsize == size
        assert size is None or len(other) == min(size, len(first))


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_random_streams_follow_the_setting(before, after, tmp_path):
    kinds = []

    def watched(function, *iterables):
        kinds.append(len(iterables) == 2)  # with a number for each: the stream's
        return map(function, *iterables)

    for number, streams in enumerate((before, after, after)):
        run = evolve.generations(
            evolve.EaSimple(0.5, 0.2),
            bit_toolbox(watched),
            2 + number,
            bits(8),
            checkpoint=tmp_path / "state",
            streams=streams,
        )
        assert [last.number for last in run][-1] == 2 + number
    assert kinds == [before] * 3 + [after] * 2


def test_a_population_of_another_size_is_refused(tmp_path):
    def run(number, ngen):
        random.seed(1)
        algorithm = evolve.EaMuPlusLambda(10, 20, 0.5, 0.2)
        found = evolve.generations(algorithm, bit_toolbox(), ngen, bits(number), checkpoint=tmp_path / "state")
        return [len(one.population) for one in found]

    assert run(16, 2) == [16, 10, 10]
    with pytest.raises(HpcmlError, match="began with 16 individuals, and this population has 10"):
        run(10, 4)
    assert run(16, 3) == [10]
    assert run(0, 4) == [10]
    assert run(16, 5) == [10]
