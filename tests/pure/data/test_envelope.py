"""The envelope of tasks: frames, and the names of functions."""

import functools

from hpcml.data.envelope import Call, name_of, pack_frame, unpack_frame


def test_a_frame_is_unpacked_as_it_was_packed():
    calls = [Call(b"function", b"first", "f", "group"), Call(b"function", b"second", "f", "group", key="k")]
    content = unpack_frame(pack_frame(calls, 1000, b"state of the script"))
    assert content.calls == [(b"function", b"first"), (b"function", b"second")]
    assert content.script_state == b"state of the script"
    assert content.max_result_nbytes == 1000
    assert content.open_broadcasts == ()


def test_a_function_is_in_a_frame_once():
    function = bytes(10_000)
    frame = pack_frame([Call(function, bytes([n]), "f", "group") for n in range(100)], 1000)
    assert len(frame) < 20_000


def test_names_of_functions():
    assert name_of(len) == "builtins.len"
    assert name_of(functools.partial(len)) == "builtins.len"
    assert name_of(lambda: None).startswith(f"{__name__}.test_names_of_functions.<locals>.<lambda>:")
    assert name_of(dict.fromkeys).endswith("dict.fromkeys")
