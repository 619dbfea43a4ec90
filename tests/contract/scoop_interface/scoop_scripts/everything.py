"""Program as in SCOOP's documentation: every function once, three levels of tasks, constants."""

import json
import operator
import os
import sys
from itertools import cycle, repeat

import numpy
import scipy.sparse  # noqa: F401  workers are forked with it, and so with numpy's random numbers
import scoop
import scoop.futures
import words
from scoop import futures, shared

if not scoop.IS_RUNNING:
    raise ImportError("started without SCOOP")


def depth(level, wide=2):
    if level == 0:
        return 1
    return sum(futures.map(depth, [level - 1] * wide, repeat(wide)))


def caught(number):
    """Return a sum, or the errors of failing tasks, which this task catches."""
    try:
        return sum(futures.map(fail_above, range(number), cycle([5])))
    except ValueError as error:
        return [str(error), type(futures.submit(fail_above, 9, 5).exception()).__name__]


def fail_above(number, most):
    if number > most:
        raise ValueError(f"{number} is too much")
    return number


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def scale(self, number):
        return self.factor * number


def where(_):
    from scoop import worker

    return worker.decode(), scoop.SIZE, os.getpid(), numpy.random.random()


def main():
    letters = dict(zip("abcdefgh", range(1, 9), strict=True))
    shared.setConst(letters=letters, halve=lambda number: number / 2)
    called = []
    submitted = [futures.submit(pow, base, exp=3) for base in range(4)]
    for future in submitted:
        future.add_done_callback(lambda future: called.append(future.result()))
    done, not_done = futures.wait(submitted, return_when=futures.ALL_COMPLETED)
    hosts = list(futures.map(where, range(40)))
    return {
        "words": [found[:2] for found in futures.map(words.values, [["abc", "had"], ["bee"]])],
        "files": sorted({file for _, _, file in futures.map(words.values, [["a"]] * 8)} | {scoop.__file__}),
        "depth": depth(5),
        "deep": futures.submit(depth, 7).result(),
        "caught": list(futures.map(caught, [3, 8])),
        "lambda": list(futures.map(lambda x, y: x * y, [1, 2, 3], cycle([10]))),
        "method": list(futures.map(Scaled(3).scale, range(4))),
        "constant": list(futures.map(lambda x: shared.getConst("halve")(x) + 1, [1, 2])),
        "reduce": futures.mapReduce(sum, operator.sub, [[n] * n for n in range(37)]),
        "scan": futures.mapScan(abs, operator.add, [-1, 2, -3, 4, -5]),
        "as completed": sorted(future.result() for future in futures.as_completed(submitted)),
        "map as completed": sorted(futures.map_as_completed(pow, [1, 2, 3], [2, 2, 2])),
        "called": sorted(called),
        "waited": (len(done), len(not_done)),
        "places": len({host for host, *_ in hosts}),
        "elsewhere": os.getpid() not in {pid for _, _, pid, _ in hosts},
        "draws": len({drawn for *_, drawn in hosts}),
        "sizes": sorted({size for _, size, _, _ in hosts} | {scoop.SIZE}),
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
    sys.exit(3 if sys.argv[1:] == ["three"] else 0)
