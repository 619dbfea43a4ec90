"""Error note for a task that cannot reach a manager of multiprocessing's which the script has started."""

from multiprocessing import connection

__all__ = ["note_manager"]


def note_manager(error: BaseException, node: str) -> None:
    """Add to the error of a connection that failed where it was to lead, and what can be done."""
    if not isinstance(error, OSError):
        return
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code is connection.SocketClient.__code__:  # type: ignore[attr-defined]
            address = frame.f_locals.get("address")
            advice = ""
            if isinstance(address, str):
                advice = (
                    ": a UNIX socket is there for processes of its own node only. For other nodes write "
                    "`manager = multiprocessing.managers.SyncManager(address=(socket.gethostname(), 0)); "
                    "manager.start()`"
                )
            error.add_note(f"hpcml: multiprocessing's manager at {address!r} is out of reach of {node}{advice}")
            return
