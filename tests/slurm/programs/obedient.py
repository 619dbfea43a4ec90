"""Opens Clusters on orders: each line of standard input is an order in JSON, each answer a line of JSON.

{"open": {option: value, …}}  opens a Cluster; the answer has slots, hosts and address (ipyparallel), or the error
{"run": [N, S]}               runs N tasks of S seconds; the answer is their sum
{"close": true}               closes it; the end of the input does too
Every answer has the seconds that the order took.
"""

import json
import sys
import time
from typing import Any

import hpcml

opened: list[hpcml.Cluster] = []


def work(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


def obey(order: dict[str, Any]) -> dict[str, Any]:
    if "open" in order:
        try:
            opened.append(hpcml.Cluster(progress=False, **order["open"]))
        except hpcml.HpcmlError as error:
            return {"error": f"{type(error).__name__}: {error}"}
        found = {"slots": opened[-1].slots, "hosts": opened[-1].hosts}
        if order["open"].get("engine") == "mpi":  # it has no client of ipyparallel
            return found
        return {**found, "address": opened[-1].client._config["location"]}
    if "run" in order:
        count, seconds = order["run"]
        return {"sum": sum(opened[-1].map(work, range(count), [seconds] * count))}
    opened.pop().shutdown()
    return {"closed": True}


def main() -> None:
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        began = time.monotonic()
        answer = obey(json.loads(line))
        print(json.dumps({**answer, "seconds": time.monotonic() - began}), flush=True)
    for cluster in opened:
        cluster.shutdown()


if __name__ == "__main__":
    main()
