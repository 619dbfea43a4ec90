"""A task that cannot connect to the script's manager of multiprocessing gets an error that says what to write."""

import socket
from multiprocessing.managers import SyncManager

import pytest

from hpcml.engines.managers import note_manager


def failed_connection(address):
    with pytest.raises(OSError) as caught:
        SyncManager(address=address, authkey=b"key").connect()
    return caught.value


def test_a_unix_socket_of_another_node(tmp_path):
    error = failed_connection(str(tmp_path / "listener"))
    note_manager(error, "n2")
    (note,) = error.__notes__
    assert (
        f"multiprocessing's manager at '{tmp_path}/listener' is out of reach of n2: a UNIX socket is for" in note
    )
    assert "SyncManager(address=(socket.gethostname(), 0))" in note


def test_an_address_that_nothing_serves():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failed_connection(unused.getsockname())
    note_manager(error, "n2")
    (note,) = error.__notes__
    assert note.endswith("is out of reach of n2")


@pytest.mark.parametrize("error", [ValueError("a task's own"), FileNotFoundError("data.csv")])
def test_other_errors_get_no_note(error):
    note_manager(error, "n2")
    assert not hasattr(error, "__notes__")
