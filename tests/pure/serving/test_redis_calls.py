"""Calls of Redis that are repeated: while Redis is away, and in the background."""

import threading
import time

import pytest
from patience import patient

from hpcml.errors import HpcmlError
from hpcml.serving.redis_calls import PatientCalls, Repeated

errors = pytest.importorskip("redis", reason="redis is not installed").exceptions


def failing(*outcomes):
    """Return a function that raises or returns one outcome after the other."""
    left = iter(outcomes)

    def function():
        outcome = next(left)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return function


def test_a_call_is_repeated_while_redis_is_away(caplog):
    call = PatientCalls("host:1", errors)
    assert call(failing(5)) == 5
    assert not call.has_lost_reply
    assert call(failing(errors.TimeoutError("slow"), errors.ConnectionError("gone"), 7)) == 7
    assert call.has_lost_reply
    words = [record.getMessage() for record in caplog.records]
    assert words == ["Redis at host:1 does not answer: slow", "Redis at host:1 answers again"]


def test_calls_that_are_refused_or_have_no_answer_are_errors():
    call = PatientCalls("host:1", errors)
    with pytest.raises(HpcmlError, match="host:1 refuses this user: wrong"):
        call(failing(errors.AuthenticationError("wrong")))
    with pytest.raises(HpcmlError, match="at host:1 is no Redis: Protocol Error: b'HTTP"):
        call(failing(errors.InvalidResponse("Protocol Error: b'HTTP/1.1 400 Bad Request'")))
    with pytest.raises(HpcmlError, match="host:1 does not answer: gone"):
        call(failing(errors.ConnectionError("gone")), patience=0.0)
    call.stop()
    with pytest.raises(HpcmlError, match="host:1 does not answer: gone"):
        call(failing(errors.ConnectionError("gone")))


def test_a_call_in_the_background_goes_on_after_an_error_and_ends():
    number, enough = 0, threading.Event()

    def function():
        nonlocal number
        number += 1
        if number == 3:
            enough.set()
        raise errors.ConnectionError("gone")

    repeated = Repeated(function, 0.01, errors.RedisError)
    repeated.start()
    repeated.start()
    assert enough.wait(patient(10))
    repeated.close()
    assert "hpcml-renewal" not in [thread.name for thread in threading.enumerate()]
    seen = number
    time.sleep(0.05)
    assert number == seen
    repeated.start()  # which a reader may do that ends later than the source
    repeated.close()
