"""Data on orders: each line on standard input is an order, each line of output its answer.

    array NUMBER     make an array of 20 MB, all of that value, and use it in 24 tasks; prints their findings
    hold NUMBER      put such an array on the nodes by hand and use it nowhere; prints nothing else
    use              use the held array in 24 tasks; prints their findings
    die              use the held array in tasks of which two kill their worker
    drop             free the held array
"""

import json
import os
import signal
import sys
import time

import numpy
from joblib import Parallel, delayed, parallel_config

import hpcml
from hpcml.engines.worker import current_worker


def look(array: numpy.ndarray, _: int) -> tuple[str, str, float]:
    """Return the slot, the file of the array, and the mean of its values."""
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "/hpcml-" in line}
    time.sleep(0.05)
    return str(current_worker()), ",".join(sorted(files)), float(array.mean())


def look_at(handle: hpcml.Broadcast, number: int) -> tuple[str, str, float]:
    return look(handle.value, number)


def die_first(handle: hpcml.Broadcast, mark: str, number: int) -> tuple[str, str, float]:
    if number < 2:
        try:
            os.close(os.open(f"{mark}-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return look_at(handle, number)
        os.kill(os.getpid(), signal.SIGKILL)
    return look_at(handle, number)


def obey(cluster: hpcml.Cluster, words: list[str], held: list[hpcml.Broadcast]) -> list:
    if words[0] == "array":
        array = numpy.full(2_500_000, float(words[1]))
        with parallel_config("hpcml"):
            return Parallel(batch_size=1)(delayed(look)(array, number) for number in range(24))
    if words[0] == "hold":
        held.append(cluster.broadcast(numpy.full(2_500_000, float(words[1]))))
    elif words[0] == "use":
        return list(cluster.map(look_at, held * 24, range(24)))
    elif words[0] == "die":
        return list(cluster.map(die_first, held * 24, [words[1]] * 24, range(24)))
    elif words[0] == "drop":
        held.pop()
    return []


def main() -> None:
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    with hpcml.Cluster(progress=False, **options) as cluster:
        print(json.dumps({"slots": cluster.slots, "hosts": cluster.hosts}), flush=True)
        held: list[hpcml.Broadcast] = []
        for line in sys.stdin:
            try:
                answer = {"saw": obey(cluster, line.split(), held)}
            except hpcml.HpcmlError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
