"""Stream of Redis as a source: a consumer group, so that each item is scored at least once by one of the servers.

Producers add entries with the field ``data`` and, if they like, ``id``; the entry's own id is the default. The
result of an item is the string ``STREAM:result:ID``, so a second result of an item takes the place of the first.
"""

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from hpcml.errors import HpcmlError
from hpcml.serving.items import Item
from hpcml.serving.redis_url import shown_address

__all__ = ["RedisStream"]

log = logging.getLogger("hpcml")

PATIENCE_SECONDS = 120.0  # for a Redis that is being started again
LONGEST_PAUSE_SECONDS = 0.5  # between two attempts
ANSWER_SECONDS = 30.0  # for a command; that of a read comes after its wait
LONGEST_LATENCY_SECONDS = 86_400.0  # an id that means an earlier time is a number that the producer has chosen
START = b"0-0"  # of the entries, and the cursor after the last of them
Answer = TypeVar("Answer")


class RedisStream:
    """Items of a stream of Redis.

    Parameters
    ----------
    url
        Of the server; see `hpcml.serving.redis_url.find_url`.
    stream, group
        Names of the stream and of its consumer group; both are made where there are none.
    claim
        Seconds after which the items of a server that is gone are taken over. A running server renews its claim
        three times as often.
    keep
        Seconds that a result is kept.

    Raises
    ------
    HpcmlError
        Redis does not answer, refuses the password, or the client library is missing.
    """

    def __init__(self, url: str, stream: str, group: str, claim: float, keep: float) -> None:
        self.address = shown_address(url)
        self._redis = _library()
        self._errors = self._redis.exceptions
        self._client = _client(self._redis, url)
        self._stream, self._group, self._claim, self._keep = stream, group, claim, max(1, round(keep))
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._held: dict[bytes, None] = {}
        self._lock = threading.Lock()  # protects _held, of the reader and of the writer
        self._stopping = False  # no Event: a signal handler must not wait for the lock of one
        self._next_upkeep = 0.0
        self._clock_offset = 0.0  # of this computer, to that of Redis, in seconds
        self._is_only_group = False
        self._is_reading = False
        self._call(self._client.ping, patience=0.0)
        self._make_group()

    def _make_group(self) -> None:
        try:
            self._call(lambda: self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True))
        except self._errors.ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise HpcmlError(
                    f"{self._stream} of Redis at {self.address} is no stream: name another"
                ) from error
            if not str(error).startswith("BUSYGROUP"):
                raise HpcmlError(f"Redis at {self.address} refuses a consumer group: {error}") from error

    def read(self, limit: int, seconds: float) -> list[Item]:
        """See `hpcml.serving.items.Source`."""
        self._is_reading = True
        items = self._read(limit, seconds)
        self._is_reading = False
        return items

    def _read(self, limit: int, seconds: float) -> list[Item]:
        if time.monotonic() >= self._next_upkeep:
            self._next_upkeep = time.monotonic() + self._claim / 3
            taken_over = self._call(lambda: self._upkeep(limit))
            if taken_over:
                self._next_upkeep = 0.0  # there may be more
                return taken_over
        words = (self._group, self._consumer, {self._stream: ">"}, limit, max(1, round(1000 * seconds)))
        try:
            found = self._call(lambda: self._client.xreadgroup(*words))
        except self._errors.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise HpcmlError(f"Redis at {self.address} refuses to read: {error}") from error
            # A Redis without persistence has come back empty, or someone has deleted the stream.
            log.warning("Redis at %s has lost the group %s: it is made again", self.address, self._group)
            self._make_group()
            return []
        return self._items(found[0][1]) if found else []

    def _upkeep(self, limit: int) -> list[Item]:
        """Renew the claim of this server, and take over items of one that is gone."""
        seconds, microseconds = self._client.time()
        self._clock_offset = time.time() - seconds - microseconds / 1e6
        names = (self._stream, self._group, self._consumer)
        try:
            self._is_only_group = len(self._client.xinfo_groups(self._stream)) == 1
            with self._lock:
                held = list(self._held)
            if held:
                self._client.xclaim(*names, 0, held, justid=True)
            return self._items(self._entries_left(names, limit))
        except self._errors.ResponseError as error:
            log.debug("no stream, or no group: %s", error)  # the next read makes them
            return []

    def _entries_left(self, names: Sequence[str], limit: int) -> Sequence[Any]:
        """Take over entries that no server has worked on for long; Redis looks at a few with each command."""
        cursor, idle = START, round(1000 * self._claim)
        while True:
            cursor, entries, *_ = self._client.xautoclaim(*names, idle, cursor, count=limit)
            if entries or cursor == START:
                return cast(Sequence[Any], entries)

    def _items(self, entries: Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]) -> list[Item]:
        items = []
        for place, fields in entries:
            with self._lock:
                if place in self._held or fields is None:
                    continue
                self._held[place] = None
            name = fields.get(b"id", place).decode(errors="backslashreplace")
            problem = "" if b"data" in fields else "the entry has no field data"
            items.append(Item(name, fields.get(b"data", b""), self._arrival(place), place, problem))
        return items

    def _arrival(self, place: bytes) -> float:
        """Return the time of an entry, which is in its id, on the clock of this computer."""
        now = time.time()
        arrived = int(place.partition(b"-")[0]) / 1000 + self._clock_offset
        return arrived if now - LONGEST_LATENCY_SECONDS < arrived <= now else now

    def write(self, results: Sequence[tuple[Item, bytes]]) -> None:
        """See `hpcml.serving.items.Source`."""
        places = [item.place for item, _ in results]
        try:
            self._call(lambda: self._write(results, places))
        except self._errors.ResponseError as error:
            raise HpcmlError(f"Redis at {self.address} refuses results: {error}. Its items stay there") from error
        with self._lock:
            for place in places:
                self._held.pop(place, None)

    def _write(self, results: Sequence[tuple[Item, bytes]], places: Sequence[bytes]) -> None:
        with self._client.pipeline(transaction=True) as pipeline:
            for item, content in results:
                pipeline.set(f"{self._stream}:result:{item.id}", content, ex=self._keep)
            pipeline.xack(self._stream, self._group, *places)
            if self._is_only_group:  # else another group may not have read them yet
                pipeline.xdel(self._stream, *places)
            pipeline.execute()

    def stop(self) -> None:
        """See `hpcml.serving.items.Source`."""
        self._stopping = True

    def close(self) -> None:
        """See `hpcml.serving.items.Source`."""
        if not self._held and not self._is_reading:
            # The group keeps names of consumers for ever. That of one with entries must stay: these would be lost.
            with contextlib.suppress(self._errors.RedisError):
                self._client.xgroup_delconsumer(self._stream, self._group, self._consumer)
        self._client.close()

    def _call(self, function: Callable[[], Answer], patience: float = PATIENCE_SECONDS) -> Answer:
        """Call a function that asks Redis; again and again while Redis is away.

        The client's own retries have neither a limit in seconds, nor an end before their last one.
        """
        errors, end, pause = self._errors, 0.0, 0.01
        while True:
            try:
                answer = function()
                if end:
                    log.warning("Redis at %s answers again", self.address)
                return answer
            except (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError) as error:
                raise HpcmlError(f"Redis at {self.address} refuses this user: {error}") from None
            except (errors.ConnectionError, errors.TimeoutError, errors.ReadOnlyError) as error:
                now = time.monotonic()
                if not end:
                    end = now + patience
                    log.warning("Redis at %s does not answer: %s", self.address, error)
                if now >= end or self._stopping:
                    raise HpcmlError(
                        f"Redis at {self.address} does not answer: {error}. Items without a result stay there: "
                        "start `hpcml serve` again"
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _library() -> Any:
    try:
        import redis
    except ImportError as error:
        raise HpcmlError(
            f"streams of Redis need its client, which cannot be imported ({error}): pip install 'hpcml[serve]'"
        ) from error
    return redis


def _client(redis: Any, url: str) -> Any:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        client = redis.Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS / 6,
        )
        client.connection_pool.make_connection()  # which takes the options of the URL
        return client
    except (ValueError, TypeError) as error:
        raise HpcmlError(f"the URL of Redis has an option that its client does not know: {error}") from None
