"""Run that is attacked: python guarded.py COUNTS [option=value …]

The first line of output has the number of its slots, and the addresses of its engines. Then each number N
on standard input is an order: run N tasks. Each task adds its number to the file COUNTS, so that one that is
executed twice is noticed; the answer is the sum of the tasks' values. The controller's key, needed by its clients,
is written to the file `server` in the directory that HPCML_TEST_KEYS names.
"""

import ast
import json
import logging
import os
import sys
import time
from typing import Any

import hpcml


def count(path: str, number: int) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{number}\n".encode())
    os.close(descriptor)
    time.sleep(0.05)
    return number


def keep_keys(client: Any) -> None:
    path = os.path.join(os.environ["HPCML_TEST_KEYS"], "server")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(client.curve_serverkey + b" " + client.session.key)


def main() -> None:
    logging.basicConfig(level=logging.DEBUG)  # the log must not contain a key either
    options = dict(argument.split("=", 1) for argument in sys.argv[2:])
    values = {name: ast.literal_eval(value) for name, value in options.items()}
    done = 0
    with hpcml.Cluster(progress=False, **values) as cluster:
        keep_keys(cluster.client)
        idents = list(cluster.client._engines.values())
        shown = repr([cluster, cluster.client, cluster.client[:], cluster._session, cluster._session.plan])
        print(json.dumps({"slots": cluster.slots, "idents": idents, "shown": shown}), flush=True)
        for line in sys.stdin:
            numbers = range(done, done + int(line))
            done += int(line)
            total = sum(cluster.map(count, [sys.argv[1]] * len(numbers), numbers))
            print(json.dumps({"total": total, "slots": cluster.slots}), flush=True)


if __name__ == "__main__":
    main()
