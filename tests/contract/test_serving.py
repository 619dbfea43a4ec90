"""``hpcml serve`` on a stream of a real Redis, and on a directory: no item is lost, whatever is killed."""

import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from patience import patient, wait_until

pytest.importorskip("redis", reason="redis is not installed")
from redis_server import PASSWORD, PROGRAM, RedisServer
from served_models import PATTERN

from hpcml import Cluster
from hpcml.errors import HpcmlError
from hpcml.models import ModelStore
from hpcml.serving.follower import ReadyModel
from hpcml.serving.follower import Served as ServedModel
from hpcml.serving.redis_stream import RedisStream

HELPERS = Path(__file__).parent / "helpers"
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="there is no redis-server")
ENDED = re.compile(r"served ([\d,]+) items?(?: \((\d+) with an error\))?.*p50 ([\d.]+) ms, p99 ([\d.]+) ms")


class Served:
    """Process of ``hpcml serve`` in a directory, with its output in a file."""

    def __init__(self, directory, words, environment):
        self.log = directory / f"serve-{time.monotonic_ns()}.log"
        command = [
            sys.executable,
            "-m",
            "hpcml",
            "serve",
            "m",
            "--engine",
            "local",
            "--slots-per-node",
            "2",
            *words,
        ]
        variables = {**os.environ, "PYTHONPATH": str(HELPERS), **environment}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=directory, env=variables, stdout=log, stderr=log)
        self.command = command

    def output(self):
        return self.log.read_text()

    def wait_ready(self):
        wait_until(
            lambda: "hpcml: serving m" in self.output() or self.process.poll() is not None, what=self.output
        )
        assert self.process.poll() is None, self.output()
        return self

    def end(self):
        """Send SIGTERM, and return the number of items and of errors in the closing line."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(patient(30)) == 0, self.output()
        items, errors, *_ = ENDED.search(self.output()).groups()
        return int(items.replace(",", "")), int(errors or 0)

    def kill(self):
        """Kill the process alone, and wait for the end of its workers."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not [one for one in children if one.is_running() and one.status() != "zombie"])


@pytest.fixture
def store(tmp_path):
    """Store with three versions of the model ``m``, whose weight is the number of the version; 1 is in use."""
    store = ModelStore(tmp_path / "models")
    for number in (1.0, 2.0, 3.0):
        store.save("m", {"w": np.array(number)})
    store.promote("m", 1)
    return store


@pytest.fixture
def redis_server(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def serve(tmp_path, store):
    """Function that starts ``hpcml serve`` with words and variables; all that it started ends with the test."""
    started = []

    def start(*words, **environment):
        started.append(Served(tmp_path, words, environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            try:
                one.process.wait(patient(20))
            except subprocess.TimeoutExpired:
                one.kill()


@pytest.fixture
def serve_stream(serve, redis_server):
    """Function that serves the stream ``items``."""

    def start(*words, function="served_models:score"):
        options = [
            "--stream",
            "items",
            "--claim",
            "1",
            "--batch",
            "8",
            "--wait",
            "0.002",
            "--function",
            function,
            *words,
        ]
        return serve(*options, HPCML_REDIS_URL=redis_server.url)

    return start


def add(client, numbers):
    for number in numbers:
        client.xadd("items", {"id": f"n{number}", "data": json.dumps([number, 0])})


def results(client, numbers):
    """Return {number: result} of those that are there."""
    found = client.mget([f"items:result:n{number}" for number in numbers])
    return {number: json.loads(text) for number, text in zip(numbers, found, strict=True) if text is not None}


def wait_for_results(client, numbers, server):
    wait_until(lambda: len(results(client, numbers)) == len(numbers), 60, server.output)
    return results(client, numbers)


def wait_for_version(client, numbers, version, server):
    """Wait until the last result there is comes from a version."""

    def last():
        found = results(client, list(numbers[-200:]))
        return found and found[max(found)]["version"] == version

    wait_until(lambda: numbers and last(), 60, server.output)


@needs_redis
def test_items_are_scored_and_a_bad_item_harms_no_other(serve_stream, redis_server):
    client = redis_server.client
    npy = io.BytesIO()
    np.save(npy, np.array([4.0, 5.0]))
    contents = {
        "good": b"[1, 2]", "npy": npy.getvalue(), "negative": b"[-1, 2]", "short": b"[1]", "text": b"{",
        "ragged": b"[[1], [1, 2]]", "again": b"[2, 2]",
    }  # fmt: skip
    for name, content in contents.items():
        client.xadd("items", {"id": name, "data": content})
    entry = client.xadd("items", {"other": "field"})
    own = client.xadd("items", {"data": "[3, 3]"}).decode()
    server = serve_stream("--interval", "0.5", function="served_models:picky").wait_ready()
    wait_until(lambda: client.get(f"items:result:{own}"), what=server.output)
    found = {name: json.loads(client.get(f"items:result:{name}")) for name in (*contents, own, entry.decode())}
    values = {name: result["value"] for name, result in found.items() if "value" in result}
    assert values == {"good": 3.0, "npy": 9.0, "short": 1.0, "again": 4.0, own: 6.0}
    assert found["negative"]["error"] == "ValueError: an item is negative"
    assert "neither JSON nor npy" in found["text"]["error"]
    assert found[entry.decode()]["error"] == "the entry has no field data"
    assert "ValueError" in found["ragged"]["error"] or "inhomogeneous" in found["ragged"]["error"]
    assert client.ttl("items:result:good") > 80_000
    wait_until(lambda: client.xlen("items") == 0, what="entries stay")
    wait_until(
        lambda: sum(map(int, re.findall(r"version 1: (\d+) items?", server.output()))) == 9, 60, server.output
    )
    client.delete("items")
    add(client, [10])
    assert wait_for_results(client, [10], server)[10]["value"] == 10
    assert server.end() == (10, 4)
    assert client.xinfo_consumers("items", "hpcml") == []


@needs_redis
def test_promotions_and_rollbacks_drop_no_item(serve_stream, redis_server, store, tmp_path):
    """The results change to the other version; one that cannot be read is tried again."""
    client, numbers, enough = redis_server.client, [], threading.Event()
    server = serve_stream().wait_ready()

    def feed():
        while not enough.wait(0.004):
            add(client, [len(numbers)])
            numbers.append(len(numbers))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        wait_for_version(client, numbers, 1, server)
        for change, version in (
            (lambda: store.promote("m", 2), 2),
            (lambda: store.promote("m", 3), 3),
            (lambda: store.roll_back("m"), 2),
        ):
            change()
            wait_for_version(client, numbers, version, server)
    finally:
        enough.set()
        feeder.join()
    found = wait_for_results(client, numbers, server)
    assert all(found[number]["value"] == [found[number]["version"], number] for number in numbers)
    versions = [found[number]["version"] for number in numbers]
    assert {version for version, _ in itertools.groupby(versions)} == {1, 2, 3}
    file = store.version("m", 3).model_file
    file.rename(tmp_path / "elsewhere")
    (store.directory / "m/current.json").write_text((store.directory / "m/current.json").read_text().replace(
        '"used": [\n  1,\n  2\n ]', '"used": [\n  1,\n  3\n ]'))  # fmt: skip
    wait_until(lambda: "the former version stays in use" in server.output(), what=server.output)
    add(client, [10**6])
    assert wait_for_results(client, [10**6], server)[10**6]["version"] == 2
    (tmp_path / "elsewhere").rename(file)
    later = iter(range(10**6 + 1, 2 * 10**6))

    def is_served():
        add(client, [number := next(later)])
        return wait_for_results(client, [number], server)[number]["version"] == 3

    wait_until(is_served, what=server.output)
    assert server.end() == (len(numbers) + next(later) - 10**6, 0)


@needs_redis
def test_a_worker_that_is_killed_loses_no_item(serve_stream, redis_server, tmp_path):
    """An item that ends its worker twice has an error; those of its batch have results."""
    client, numbers = redis_server.client, list(range(100))
    bad = int(PATTERN)
    add(client, [*numbers[:50], bad, *numbers[50:]])
    server = serve_stream(function="served_models:score_or_die").wait_ready()
    found = wait_for_results(client, [*numbers, bad], server)
    assert (tmp_path / "died-once").exists()
    assert [found[number]["value"] for number in numbers] == [[1.0, number] for number in numbers]
    assert "ended 1 workers" in found[bad]["error"]
    assert server.end() == (101, 1)


@needs_redis
def test_a_server_and_a_redis_that_are_killed_lose_no_item(serve_stream, redis_server):
    client, numbers = redis_server.client, list(range(900))
    add(client, numbers[:300])
    first = serve_stream(function="served_models:score_slowly")
    wait_until(lambda: results(client, numbers[:300]), what=first.output)
    first.kill()
    seen = len(results(client, numbers[:300]))
    second = serve_stream().wait_ready()
    assert 0 < seen < 300, "the server was not killed in the middle"
    wait_for_results(client, numbers[:300], second)
    add(client, numbers[300:600])
    redis_server.kill()
    time.sleep(0.5)
    redis_server.start()
    add(client, numbers[600:])
    found = wait_for_results(client, numbers, second)
    assert all(found[number]["value"] == [1.0, number] for number in numbers)
    assert "does not answer" in second.output()
    assert "answers again" in second.output()
    wait_until(lambda: client.xlen("items") == 0, what="entries stay")
    assert client.xpending("items", "hpcml")["pending"] == 0
    second.end()


@needs_redis
def test_the_signal_drains_what_was_read(serve_stream, redis_server):
    client, numbers = redis_server.client, list(range(2000))
    server = serve_stream().wait_ready()
    add(client, numbers)
    wait_until(lambda: results(client, numbers), what=server.output)
    items, _ = server.end()
    assert 0 < items == len(results(client, numbers))
    assert client.xpending("items", "hpcml")["pending"] == 0
    assert client.xlen("items") == 2000 - items


@needs_redis
def test_items_of_a_server_that_is_gone_are_found_behind_those_of_another(redis_server):
    """Redis looks at ten entries with each command that asks for one."""
    claim = 4.0
    living, third = (RedisStream(redis_server.url, "items", "hpcml", claim, 60.0) for _ in range(2))
    add(redis_server.client, range(43))
    assert len(living.read(40, 1.0)) == 40
    gone = f"""
import os
from hpcml.serving.redis_stream import RedisStream
source = RedisStream({redis_server.url!r}, "items", "hpcml", {claim}, 60.0)
print(*[item.id for item in source.read(3, 1.0)], flush=True)
os._exit(0)
"""
    left = subprocess.run([sys.executable, "-c", gone], check=True, capture_output=True, text=True).stdout.split()
    assert len(left) == 3
    time.sleep(claim + 0.5)
    assert [living.read(1, 0.01)[0].id, *(third.read(1, 0.01)[0].id for _ in range(2))] == left
    assert third.read(1, 0.01) == []
    for source in (living, third):
        source.close()


@needs_redis
def test_a_server_that_reads_nothing_keeps_its_items(redis_server):
    """It has no room for others, or ends when all that it has read have results."""
    claim = patient(2.0)
    busy, idle = (RedisStream(redis_server.url, "items", "hpcml", claim, 60.0) for _ in range(2))
    add(redis_server.client, range(3))
    held = busy.read(9, 1.0)
    end = time.monotonic() + 2 * claim
    while time.monotonic() < end:
        assert idle.read(9, 0.2) == []
    busy.write([(item, b"{}") for item in held])
    assert redis_server.client.xpending("items", "hpcml")["pending"] == 0
    busy.close()
    idle.close()
    assert redis_server.client.xinfo_consumers("items", "hpcml") == []


@pytest.fixture
def stalled(redis_server, monkeypatch):
    """Stream of a Redis whose process is stopped, and the function that lets it go on."""
    monkeypatch.setattr("hpcml.serving.redis_stream.ANSWER_SECONDS", 1.0)
    source = RedisStream(redis_server.url, "items", "hpcml", 600.0, 60.0)
    assert source.read(9, 0.01) == []
    add(redis_server.client, range(3))
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        yield source, lambda: redis_server.process.send_signal(signal.SIGCONT)
    finally:
        redis_server.process.send_signal(signal.SIGCONT)


@needs_redis
def test_items_of_a_reply_that_was_lost_are_read_again(stalled):
    source, go_on = stalled
    timer = threading.Timer(2.0, go_on)
    timer.start()
    items = source.read(2, 0.1)
    timer.join()
    items += source.read(2, 0.1)
    assert [item.id for item in items] == ["n0", "n1", "n2"]
    source.write([(item, b"{}") for item in items])
    assert source.read(9, 0.01) == []
    source.close()


@needs_redis
def test_items_of_a_reply_that_was_lost_stay_when_the_server_ends(redis_server):
    client = redis_server.client
    source = RedisStream(redis_server.url, "items", "hpcml", 600.0, 60.0)
    add(client, [9])
    source.write([(item, b"{}") for item in source.read(9, 1.0)])
    add(client, range(3))
    (consumer,) = client.xinfo_consumers("items", "hpcml")
    client.xreadgroup("hpcml", consumer["name"], {"items": ">"})  # whose reply the server never has
    source.close()
    assert client.xpending("items", "hpcml")["pending"] == 3
    following = RedisStream(redis_server.url, "items", "hpcml", 0.1, 60.0)
    time.sleep(0.2)
    assert [item.id for item in following.read(9, 0.1)] == ["n0", "n1", "n2"]
    following.close()


@needs_redis
def test_password_and_tls_and_nothing_secret_in_sight(serve, tmp_path):
    with RedisServer(tmp_path / "tls", tls=True) as server:
        file = tmp_path / "url"
        file.write_text(server.url + "\n")
        file.chmod(0o600)
        words = ["--stream", "items", "--function", "served_models:score"]
        one = serve(*words, "--redis-file", str(file)).wait_ready()
        add(server.client, [5])
        assert wait_for_results(server.client, [5], one)[5]["value"] == [1.0, 5.0]
        pids = [
            one.process.pid,
            *(child.pid for child in psutil.Process(one.process.pid).children(recursive=True)),
        ]
        seen = [
            Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes() for pid in pids
        ]
        assert not any(PASSWORD.encode() in text for text in seen)
        one.end()
        assert PASSWORD not in one.output()
        wrong = serve(*words, HPCML_REDIS_URL=server.url.replace(PASSWORD, "other-secret"))
        assert wrong.process.wait(patient(30)) == 1
        assert re.fullmatch(r"hpcml: Redis at localhost:\d+ refuses this user: .*\n", wrong.output())
        assert "other-secret" not in wrong.output()
        other = serve(*words, HPCML_REDIS_URL=server.url.replace("?ssl_ca_certs", "?ssl_cert_reqs=required&x"))
        assert other.process.wait(patient(30)) == 1
        file.chmod(0o644)
        shown = serve(*words, "--redis-file", str(file))
        assert shown.process.wait(patient(30)) == 1
        assert "chmod 600" in shown.output()


def test_files_of_a_directory(serve, tmp_path, store):
    inbox, outbox = tmp_path / "in", tmp_path / "out"
    words = ["--inbox", "in", "--outbox", "out", "--function", "served_models:score"]
    server = serve(*words).wait_ready()
    for number in range(40):
        (inbox / ".new").write_text(json.dumps([number, 1]))
        (inbox / ".new").rename(inbox / f"{number}.json")
    (inbox / "link").symlink_to("/etc/hostname")
    (inbox / "folder").mkdir()
    wait_until(lambda: len(list(outbox.glob("[!.]*"))) == 41, what=server.output)
    found = [json.loads((outbox / f"{number}.json.json").read_text()) for number in range(40)]
    assert [one["value"] for one in found] == [[1.0, number] for number in range(40)]
    assert "cannot be read" in json.loads((outbox / "link.json").read_text())["error"]
    second = serve(*words)
    assert second.process.wait(patient(30)) == 1
    assert "another server is at work on in" in second.output()
    server.kill()
    (inbox / "late").write_text("[7, 7]")
    third = serve(*words).wait_ready()
    wait_until((outbox / "late.json").exists, what=third.output)
    assert third.end()[0] >= 1
    assert [path.name for path in inbox.iterdir() if path.name != ".lock"] == ["folder"]


def test_workers_that_are_busy_for_long_are_named_as_the_reason(store, monkeypatch, tmp_path):
    """A version in use that no worker can load meanwhile is not said to be damaged."""
    monkeypatch.setattr("hpcml.serving.follower.PREPARE_SECONDS", 0.2)
    release = tmp_path / "released"

    def wait_for_release():
        while not release.exists():
            time.sleep(0.01)

    with Cluster("local", slots_per_node=1, journal=False, progress=False) as cluster:
        busy = cluster.submit(wait_for_release)
        scorer = ServedModel(store, "m", method="keys").load(2)
        with pytest.raises(
            HpcmlError,
            match=r"load version 2 of the model: TimeoutError: the workers were busy for 0\.2 s, and 1 of 1 had",
        ):
            ReadyModel.of(scorer, cluster)
        release.touch()
        busy.result(patient(20))
        monkeypatch.undo()
        assert ReadyModel.of(scorer, cluster).version == 2
