"""Collectives on the workers of a Cluster; the first argument names a test, and results are printed as JSON."""

import json
import os
import signal
import sys
import threading
import time
import traceback

import numpy as np
from deap import base, creator, tools
from joblib import Parallel, delayed, parallel_config

import hpcml
from hpcml import evolve

creator.create("Most", base.Fitness, weights=(1.0,))
creator.create("Bits", list, fitness=creator.Most)
Bits = creator.Bits
DATA = np.random.default_rng(3).normal(size=(600, 40))


def place(comm):
    return comm.rank, comm.size, os.environ["SLURMD_NODENAME"]


def covariance(comm, data):
    """Return the covariance of all rows, of which each rank takes its share."""
    rows = np.array_split(data, comm.size)[comm.rank]
    sums = np.empty(data.shape[1])
    comm.Allreduce(rows.sum(axis=0), sums)
    centred = rows - sums / len(data)
    products = np.empty((data.shape[1], data.shape[1]))
    comm.Allreduce(centred.T @ centred, products)
    return products / (len(data) - 1)


def fail_on_rank_1(comm):
    print("begun on rank", comm.rank)
    if comm.rank == 1:
        raise KeyError("a wrong name")
    comm.Barrier()


def total(comm):
    return comm.allreduce(comm.rank)


def evolved(comm):
    """Return the populations of six islands, evolved on the ranks, or without a communicator in one process."""
    toolbox = base.Toolbox()
    toolbox.register("evaluate", lambda bits: (sum(bits),))
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", map)
    random = np.random.default_rng(4)
    islands = [[Bits(random.integers(0, 2, 20).tolist()) for _ in range(10)] for _ in range(6)]
    algorithm = evolve.EaSimple(cxpb=0.5, mutpb=0.2)
    *_, epoch = evolve.islands(algorithm, toolbox, islands, 8, every=4, seed=5, comm=comm)
    return [[list(one) for one in island.population] for island in epoch.islands]


def process(comm):
    return os.getpid()


def square(number):
    time.sleep(0.05)
    return number * number


def seen_error(call):
    """Return type, text, notes, shown traceback of the error of a call, and the seconds until it was raised."""
    began = time.monotonic()
    try:
        call()
    except Exception as error:
        notes = getattr(error, "__notes__", [])
        return [type(error).__name__, str(error), notes, traceback.format_exc(), time.monotonic() - began]
    raise AssertionError("there was no error")


def seconds_of(call):
    began = time.monotonic()
    return call(), time.monotonic() - began


def numbers(cluster):
    """Collectives, joblib, map and views on the same workers."""
    found = cluster.comm_map(covariance, DATA)
    same = [bool(np.allclose(one, np.cov(DATA, rowvar=False), rtol=1e-12)) for one in found]
    view = cluster.client[:]
    view.execute("from mpi4py import MPI\nsums = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.allreduce(1)", block=True)
    with parallel_config("hpcml", n_jobs=-1):
        squares = Parallel()(delayed(square)(number) for number in range(12))
    mapped = list(cluster.map(square, range(12)))
    places = cluster.comm.map(place)
    alone = evolved(None)
    islands = [one == alone for one in cluster.comm_map(evolved)]
    found = {"places": places, "same": same, "view": view["sums"], "squares": squares, "mapped": mapped}
    return {**found, "islands": islands}


def errors(cluster):
    """Calls that fail on one rank, on all, and with a result that cannot be sent; what follows each."""
    before = cluster.comm_map(process)
    on_all = seen_error(lambda: cluster.comm_map(lambda comm: {}[comm.rank]))
    unsent = seen_error(lambda: cluster.comm_map(lambda comm: threading.Lock()))
    kept = cluster.comm_map(process) == before
    on_one = seen_error(lambda: cluster.comm_map(fail_on_rank_1))
    again, seconds = seconds_of(lambda: cluster.comm_map(total))
    late = seen_error(lambda: cluster.comm_map(lambda comm: time.sleep(100), timeout=1))
    mapped = list(cluster.map(square, range(12)))
    return {
        "on_all": on_all, "unsent": unsent, "kept": kept, "on_one": on_one, "again": again, "seconds": seconds,
        "late": late, "mapped": mapped, "last": cluster.comm_map(total),
    }  # fmt: skip


def deaths(cluster):
    """Ranks that end, in a collective and in a task; what follows each."""

    def die(comm):
        if comm.rank == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        comm.Barrier()

    def die_once(number):
        if number == 5 and not os.path.exists("died"):
            with open("died", "w"):
                os._exit(3)
        return square(number)

    killed = seen_error(lambda: cluster.comm_map(die))
    again, seconds = seconds_of(lambda: cluster.comm_map(total))
    slots = cluster.slots
    mapped = list(cluster.map(die_once, range(24)))
    return {
        "killed": killed, "again": again, "seconds": seconds, "slots": slots, "mapped": mapped,
        "last": cluster.comm_map(total),
    }  # fmt: skip


def threads(cluster):
    """Calls of several threads beside a map, and one that Ctrl-C interrupts."""
    sums = []
    mapping = cluster.map(square, range(48))
    callers = [threading.Thread(target=lambda: sums.append(cluster.comm_map(total))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    mapped = list(mapping)
    threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    interrupted = False
    try:
        cluster.comm_map(lambda comm: comm.Barrier() if comm.rank else time.sleep(100))
    except KeyboardInterrupt:
        interrupted = True
    return {"sums": sums, "mapped": mapped, "interrupted": interrupted, "last": cluster.comm_map(total)}


if __name__ == "__main__":
    with hpcml.Cluster(engine="ipyparallel", mpi=True, progress=False) as opened:
        print(json.dumps(globals()[sys.argv[1]](opened)))
