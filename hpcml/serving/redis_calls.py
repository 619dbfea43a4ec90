"""Calls of Redis: repeated while Redis is away for a time, and in the background at intervals."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from hpcml.errors import HpcmlError

__all__ = ["PatientCalls", "Repeated"]

log = logging.getLogger("hpcml")

PATIENCE_SECONDS = 120.0  # for a Redis that is being started again
LONGEST_PAUSE_SECONDS = 0.5  # between two attempts
END_SECONDS = 1.0  # for the end of a call in the background
Answer = TypeVar("Answer")


class PatientCalls:
    """Calls of functions that ask Redis; again and again while Redis is away.

    The client's own retries have neither a limit in seconds, nor an end before their last one.

    Parameters
    ----------
    address
        Of Redis, for messages.
    errors
        Module with the exceptions of the client.
    """

    def __init__(self, address: str, errors: Any) -> None:
        self._address, self._errors = address, errors
        self._stopping = False  # no Event: a signal handler must not wait for the lock of one
        self.has_lost_reply = False  # of a command that Redis may have carried out

    def stop(self) -> None:
        """Have no call repeated any more. Signal handlers may."""
        self._stopping = True

    def __call__(self, function: Callable[[], Answer], patience: float = PATIENCE_SECONDS) -> Answer:
        """Return what a function returns that asks Redis.

        Raises
        ------
        HpcmlError
            Redis refuses the user, another server answers, or Redis does not answer for `patience` seconds.
        """
        errors, end, pause = self._errors, 0.0, 0.01
        while True:
            try:
                answer = function()
                if end:
                    log.warning("Redis at %s answers again", self._address)
                return answer
            except (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError) as error:
                raise HpcmlError(f"Redis at {self._address} refuses this user: {error}") from None
            except errors.InvalidResponse as error:
                raise HpcmlError(f"the server at {self._address} is no Redis: {error}") from None
            except (errors.ConnectionError, errors.TimeoutError, errors.ReadOnlyError) as error:
                now, self.has_lost_reply = time.monotonic(), True
                if not end:
                    end = now + patience
                    log.warning("Redis at %s does not answer: %s", self._address, error)
                if now >= end or self._stopping:
                    raise HpcmlError(
                        f"Redis at {self._address} does not answer: {error}. Items without a result stay there: "
                        "start `hpcml serve` again"
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


class Repeated:
    """Thread that calls a function every so many seconds, from `start` to `close`.

    An error of the kinds `expected` ends that call alone.
    """

    def __init__(self, function: Callable[[], object], seconds: float, expected: type[Exception]) -> None:
        self._function, self._seconds, self._expected = function, seconds, expected
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="hpcml-renewal", daemon=True)

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def _repeat(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._function()
            except self._expected as error:
                log.debug("another attempt in %g s: %s", self._seconds, error)

    def close(self) -> None:
        """End the thread; wait a second for a call that is under way."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)
