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
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hpcml.errors import HpcmlError
from hpcml.serving.items import Item
from hpcml.serving.redis_calls import PatientCalls, Repeated
from hpcml.serving.redis_url import shown_address

__all__ = ["RedisStream"]

log = logging.getLogger("hpcml")

ANSWER_SECONDS = 30.0  # for a command; that of a read comes after its wait
LONGEST_LATENCY_SECONDS = 86_400.0  # an id that means an earlier time is a number that the producer has chosen
START = b"0-0"  # of the entries, and the cursor after the last of them
PAGE = 1000  # own entries that are asked for at once
REMOVE_CONSUMER = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
"""


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
        self._renewal = Repeated(self._renew, claim / 3, self._errors.RedisError)
        self._call = PatientCalls(self.address, self._errors)
        self._next_upkeep = 0.0
        self._clock_offset = 0.0  # of this computer, to that of Redis, in seconds
        self._is_only_group = False
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
        self._renewal.start()
        if time.monotonic() >= self._next_upkeep:
            self._next_upkeep = time.monotonic() + self._claim / 3
            taken_over = self._call(lambda: self._upkeep(limit))
            if taken_over:
                self._next_upkeep = 0.0  # there may be more
                return taken_over
        try:
            return self._items(self._call(lambda: self._entries(limit, seconds)))
        except self._errors.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise HpcmlError(f"Redis at {self.address} refuses to read: {error}") from error
            # A Redis without persistence has come back empty, or someone has deleted the stream.
            log.warning("Redis at %s has lost the group %s: it is made again", self.address, self._group)
            self._make_group()
            return []

    def _entries(self, limit: int, seconds: float) -> Sequence[Any]:
        """Return new entries; after a reply that was lost, first those that Redis has delivered with it."""
        if self._call.has_lost_reply:
            self._call.has_lost_reply = False
            if lost := self._lost_entries(limit):
                self._call.has_lost_reply = True  # there may be more
                return lost
        found = self._client.xreadgroup(
            self._group, self._consumer, {self._stream: ">"}, limit, max(1, round(1000 * seconds))
        )
        return cast(Sequence[Any], found[0][1]) if found else []

    def _lost_entries(self, limit: int) -> list[Any]:
        """Return entries that Redis has delivered to this server, and that are not held."""
        with self._lock:
            held = set(self._held)  # as they are now: those that get a result during the command are not lost
        lost: list[Any] = []
        after = START
        while len(lost) < limit:
            found = self._client.xreadgroup(self._group, self._consumer, {self._stream: after}, PAGE)
            entries = found[0][1] if found else []
            if not entries:
                break
            lost += [entry for entry in entries if entry[0] not in held and entry[1] is not None]
            after = entries[-1][0]
        return lost[:limit]

    def _renew(self) -> None:
        """Renew the claim of this server, also while it has no room for more items, or is about to end."""
        with self._lock:
            held = list(self._held)
        if held:
            self._client.xclaim(self._stream, self._group, self._consumer, 0, held, justid=True)

    def _upkeep(self, limit: int) -> list[Item]:
        """Take over items of a server that is gone, and none of this one."""
        seconds, microseconds = self._client.time()
        self._clock_offset = time.time() - seconds - microseconds / 1e6
        names = (self._stream, self._group, self._consumer)
        try:
            self._is_only_group = len(self._client.xinfo_groups(self._stream)) == 1
            self._renew()
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
        self._call.stop()

    def close(self) -> None:
        """See `hpcml.serving.items.Source`."""
        self._renewal.close()
        # The group keeps names of consumers for ever. That of one with entries must stay: these would be lost.
        # Redis alone knows of those whose reply was lost.
        with contextlib.suppress(self._errors.RedisError):
            self._client.eval(REMOVE_CONSUMER, 1, self._stream, self._group, self._consumer)
        self._client.close()


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
