"""Programs for ranks of MPI: ``mpiexec -n 3 python on_ranks.py NAME``; see test_mpi_ranks.py."""

import json
import os
import random
import socket
import sys
import time

import numpy as np
from evolution import count_ones, make_creator
from joblib import Parallel, delayed, parallel_config
from mpi4py import MPI

import hpcml

WORLD = MPI.COMM_WORLD


def print_json(found):
    print(json.dumps(found), flush=True)


def open_cluster(**options):
    return hpcml.Cluster(engine="mpi", comm=WORLD, progress=False, **options)


def where(number):
    time.sleep(0.01)
    return number**3, WORLD.rank


def evolve(map_):
    """Return the best fitness of each generation of a small population of bits."""
    from deap import algorithms, base, creator, tools

    make_creator()
    random.seed(3)
    toolbox = base.Toolbox()
    toolbox.register("evaluate", count_ones)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", map_)
    population = [creator.Bits(random.choices((0, 1), k=20)) for _ in range(12)]
    stats = tools.Statistics(lambda one: one.fitness.values)
    stats.register("all", list)
    _, logbook = algorithms.eaSimple(population, toolbox, 0.5, 0.2, 4, stats, verbose=False)
    return logbook.select("all")


def results():
    numbers = np.arange(400_000.0)
    with open_cluster() as cluster:
        found = {"hosts": cluster.hosts, "slots": cluster.slots, "map": list(cluster.map(where, range(60)))}
        with parallel_config("hpcml"):
            found["joblib"] = Parallel(n_jobs=-1)(delayed(divmod)(number, 7) for number in range(20))
        found["evolution"] = evolve(cluster.map)
        found["sums"] = list(cluster.map(np.sum, [numbers, 2 * numbers]))
        found["comm"] = cluster.comm is WORLD
        found["large"] = cluster.submit(np.ones, 2_000_000).result().sum()
        print_json(found)


def results_on_several_hosts():
    socket.gethostname = lambda: f"host-{WORLD.rank}"
    results()


def without_a_block():
    cluster = open_cluster()
    print_json(list(cluster.map(pow, range(3), range(3))))


def divide(number):
    return 1 / number


def leave(status):
    sys.exit(status)


def errors():
    with open_cluster() as cluster:
        futures = [cluster.submit(divide, 0), cluster.submit(leave, 7), cluster.submit(divide, 4)]
        print_json([repr(future.exception() or future.result()) for future in futures])


def wait_long(_):
    for _ in range(600):
        time.sleep(0.1)


def end_in_block(how):
    with open_cluster() as cluster:
        print(cluster.run_dir.name, flush=True)
        future = cluster.submit(wait_long if how.startswith("busy") else divide, 1)
        if how.startswith("busy"):
            time.sleep(0.5)
        if how.endswith("raises"):
            raise LookupError("of the script")
        if how.endswith("exits"):
            sys.exit(3)
        assert future.result() == 1


def die(array):
    os.kill(os.getpid(), 9)


def killed():
    with open_cluster() as cluster:
        print(cluster.run_dir.name, flush=True)
        cluster.submit(die, np.arange(400_000.0)).result()


def cannot_open():
    open_cluster(run_dir=__file__)


def send_to_first(number):
    WORLD.send(number, dest=0, tag=77)
    return number


def own_messages():
    found = [WORLD.allreduce(1)]
    with open_cluster() as cluster:
        futures = [cluster.submit(send_to_first, number) for number in range(4)]
        found.append(sorted(WORLD.recv(tag=77) for _ in futures))
        found.append([future.result() for future in futures])
    found.append(WORLD.allgather(WORLD.rank))
    with open_cluster() as cluster:
        found.append(cluster.submit(abs, -5).result())
    found.append(WORLD.allreduce(2))
    if WORLD.rank == 0:
        print_json(found)


def draw(_):
    time.sleep(0.1)
    return random.random(), float(np.random.random()), os.getpid()


def random_numbers():
    random.seed(1)
    with open_cluster() as cluster:
        drawn = list(cluster.map(draw, range(8)))
    after = WORLD.gather(random.random())
    if WORLD.rank == 0:
        print_json([drawn, after])


name, *arguments = sys.argv[1:]
globals()[name](*arguments)
