"""``hpcml serve`` in a job of three nodes: a new model, a killed worker and a lost node cost no item."""

import json

import numpy as np
import pytest
from patience import patient, wait_until

pytest.importorskip("redis", reason="redis is not installed")
from redis_server import PROGRAM, RedisServer

from hpcml.models import ModelStore

SCORING = """
import os
import time


def score(model, batch):
    time.sleep(0.1)
    if (batch == 13).any() and not os.path.exists("died"):
        open("died", "x").close()
        os.kill(os.getpid(), 9)
    return [[os.uname().nodename, float(model["w"][0]), float(one[0])] for one in batch]
"""

JOB = """#!/bin/bash
exec {python} -m hpcml serve m --stream items --redis-file url --function scoring:score --batch 4
"""


@pytest.mark.skipif(PROGRAM is None, reason="there is no redis-server")
@pytest.mark.release("24.11")
@pytest.mark.timeout(patient(300))
def test_a_stream_is_served_on_three_nodes(cluster):
    shared = cluster.shared_dir
    store = ModelStore(shared / "models")
    for number in (1.0, 2.0):
        store.save("m", {"w": np.full(200_000, number)})
    store.promote("m", 1)
    cluster.write("scoring.py", SCORING)
    with RedisServer(shared / "redis") as server:
        (shared / "url").write_text(server.url)
        (shared / "url").chmod(0o600)
        options = ("-N3", "--ntasks-per-node=2", "--no-kill")
        job = cluster.sbatch(JOB.format(python=cluster.python), *options, cwd=shared)

        sent = 0

        def send(count):
            nonlocal sent
            for number in range(sent, sent + count):
                server.client.xadd("items", {"id": str(number), "data": json.dumps([number])})
            sent += count

        def found():
            texts = server.client.mget([f"items:result:{number}" for number in range(sent)])
            return [json.loads(text) for text in texts if text is not None]

        send(200)
        wait_until(lambda: len(found()) >= 100, 120, lambda: cluster.output(job))
        store.promote("m", 2)
        cluster.kill_node("n3")
        while not any(one["version"] == 2 for one in found()):  # bounded by the test's own time
            send(20)
            wait_until(lambda: len(found()) == sent, 120, lambda: cluster.output(job))
        wait_until(lambda: len(found()) == sent, 120, lambda: cluster.output(job))
        results = found()
        cluster.boot_node("n3")  # Slurm waits for it before the job has ended
        cluster.run(["scancel", "--batch", "--signal=TERM", str(job)], check=True)
        end = cluster.wait(job, timeout=120)
    assert all(one["value"][1:] == [one["version"], number] for number, one in enumerate(results))
    assert {one["version"] for one in results} == {1, 2}
    assert {one["value"][0] for one in results} == {"n1", "n2", "n3"}
    assert (shared / "died").exists()
    assert f"served {sent:,} items in" in end.output
