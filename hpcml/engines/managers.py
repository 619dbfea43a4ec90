"""Error note for a task that cannot connect to a manager of multiprocessing, which the script has started."""

from multiprocessing import connection

__all__ = ["note_manager"]


def note_manager(error: BaseException, node: str) -> None:
    """Add the manager's address to the error of a failed connection, and advice for a manager on another node."""
    if not isinstance(error, OSError):
        return
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        trace = trace.tb_next
        if frame.f_code is connection.SocketClient.__code__:  # type: ignore[attr-defined]
            address = frame.f_locals.get("address")
            advice = ""
            if isinstance(address, str):
                advice = (
                    ": a UNIX socket is for processes of its own node only. For other nodes write "
                    "`manager = multiprocessing.managers.SyncManager(address=(socket.gethostname(), 0)); "
                    "manager.start()`"
                )
            error.add_note(f"hpcml: multiprocessing's manager at {address!r} is out of reach of {node}{advice}")
            return
