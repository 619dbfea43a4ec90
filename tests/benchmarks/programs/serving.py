"""Serving a stream of Redis, on this computer: rate, latency, and what a change of the model adds.

    python serving.py hpcml SLOTS MEASURE…      prints {MEASURE: value, …} as JSON

serving_rate   items in a second, in those that the scoring function alone scores in batches of this size; the
               stream is full
serving_p99    p99 of the latency, in p50; items arrive at random (Poisson) at 70 % of the function's own rate
serving_swap   milliseconds that a promotion adds to the longest latency of a second: the median of several

A slot multiplies matrices for about 25 ms for each batch of 64 items, in one thread. The slots, the server, Redis
and the producer share this computer's cores. Latency is from the entry of the stream to the result in Redis.
"""

import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

import hpcml
from hpcml.models import ModelStore
from hpcml.serving.batches import Batches
from hpcml.serving.follower import Served
from hpcml.serving.redis_stream import RedisStream
from hpcml.serving.server import Server

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("contract/helpers", "")]
from redis_server import RedisServer  # noqa: E402 - of the tests

BATCH, FEATURES, BATCH_SECONDS, LOAD = 64, 256, 0.025, 0.7
ALONE_SECONDS, FULL_SECONDS, LOADED_SECONDS, SWAPS = 3.0, 5.0, 20.0, 5
PRODUCER = """
import random, sys, time, redis
url, rate, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
client, data = redis.Redis.from_url(url), sys.stdin.buffer.read()
due = began = time.monotonic()
while due < began + seconds:
    time.sleep(max(0.0, due - time.monotonic()))
    with client.pipeline(transaction=False) as pipeline:
        while due <= time.monotonic():
            pipeline.xadd("items", {"data": data})
            due += random.expovariate(rate)
        pipeline.execute()
"""


def score(model, batch):
    """Multiply as often as the model says."""
    for _ in range(int(model["rounds"])):
        batch = np.tanh(batch @ model["weights"])
    return batch.sum(axis=1)


class Watched(RedisStream):
    """Stream that notes when each item arrived and had its result."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.times: list[tuple[float, float]] = []

    def write(self, results):
        super().write(results)
        now = time.time()
        self.times += [(item.arrived, now) for item, _ in results]


def with_rounds(model):
    """Return the model with as many rounds as a batch of BATCH_SECONDS has."""
    batch = np.random.default_rng(0).normal(size=(BATCH, FEATURES))
    model["rounds"] = np.array(10)
    for _ in range(3):
        began = time.perf_counter()
        score(model, batch)
        share = BATCH_SECONDS / (time.perf_counter() - began)
        model["rounds"] = np.array(max(1, round(int(model["rounds"]) * share)))
    return model


def alone(model, seconds=ALONE_SECONDS):
    """Return the items that the scoring function scores in a second."""
    batch, count, began = np.random.default_rng(0).normal(size=(BATCH, FEATURES)), 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        score(model, batch)
        count += BATCH
    return count / spent


def serve(server, act):
    """Run the server, and `act` in a thread beside; the server ends with that."""

    def beside():
        try:
            act()
        finally:
            server.stop("end of the benchmark")

    thread = threading.Thread(target=beside)
    thread.start()
    server.run()
    thread.join()


def produce(url, rate, seconds):
    """Start the producer."""
    words = [sys.executable, "-c", PRODUCER, url, str(rate), str(seconds)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE)
    process.stdin.write(item())
    process.stdin.close()
    return process


def item():
    """Return one item: an array in npy."""
    file = io.BytesIO()
    np.save(file, np.random.default_rng(1).normal(size=FEATURES))
    return file.getvalue()


def rate_of(times):
    """Return the items in a second, between the first and the last tenth."""
    ends = sorted(end for _, end in times)
    cut = len(ends) // 10
    return (len(ends) - 2 * cut) / (ends[-cut - 1] - ends[cut])


def measure(slots):
    """Return all measures."""
    weights = np.random.default_rng(2).normal(size=(FEATURES, FEATURES)) / 16
    options = {"slots_per_node": slots, "progress": False, "journal": False, "max_nbytes": None, "retries": 1}
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as place,
        RedisServer(Path(place, "redis")) as redis,
        hpcml.Cluster("local", **options) as cluster,
    ):
        model = cluster.submit(with_rounds, {"weights": weights}).result()
        function = slots * cluster.submit(alone, model).result()
        store = ModelStore(Path(place, "models"))
        for _ in range(2):
            store.save("m", model, promote=True)
        served = Served(store, "m", function=score)
        return {**full(served, cluster, redis, function), **loaded(served, cluster, redis, function, store)}


def full(served, cluster, redis, function):
    """Return the measure of a full stream."""
    source, content = Watched(redis.url, "items", "hpcml", 10.0, 600.0), item()
    with redis.client.pipeline(transaction=False) as pipeline:
        for _ in range(int(function * FULL_SECONDS)):
            pipeline.xadd("items", {"data": content})
        pipeline.execute()
    server = Server(served, served.load(1), cluster, source, Batches(BATCH, 0.005), interval=1e6)
    serve(server, lambda: wait_for(lambda: redis.client.xlen("items") == 0))
    source.close()
    return {"serving_rate": rate_of(source.times) / function}


def wait_for(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SystemExit("the items have no results")
        time.sleep(0.02)


def loaded(served, cluster, redis, function, store):
    """Return the measures at 70 % load."""
    source, promotions = Watched(redis.url, "items", "hpcml", 10.0, 600.0), []

    def act():
        producer = produce(redis.url, LOAD * function, LOADED_SECONDS)
        time.sleep(LOADED_SECONDS / 2)
        for number in range(SWAPS):
            promotions.append(time.time())
            store.promote("m", 1 + number % 2)
            time.sleep(LOADED_SECONDS / 2 / SWAPS)
        assert producer.wait(30) == 0
        wait_for(lambda: redis.client.xlen("items") == 0)

    serve(Server(served, served.load(1), cluster, source, Batches(BATCH, 0.005), interval=1e6), act)
    source.close()
    began = min(arrived for arrived, _ in source.times)
    calm = [end - arrived for arrived, end in source.times if began + 1 < arrived < promotions[0]]
    p50, p99 = np.quantile(calm, [0.5, 0.99])

    def longest(since):
        return max(end - arrived for arrived, end in source.times if since <= arrived < since + 1)

    added = [longest(since) - longest(since - 1.2) for since in promotions]
    return {"serving_p99": p99 / p50, "serving_swap": max(0.0, 1000 * median(added))}


if __name__ == "__main__":
    found = measure(int(sys.argv[2]))
    print(json.dumps({name: float(value) for name, value in found.items() if name in sys.argv[3:]}))
