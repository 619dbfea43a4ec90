"""Requests to an engine's kernel: frames are run here, all others by ipyparallel's own kernel.

Names of ipyparallel that are not public are in the table of `hpcml.engines.libraries`.

==================  ===============================  ==========================================================
Request             Frame                            View or magic of ipyparallel
==================  ===============================  ==========================================================
Process             plain Python                     shell of IPython
Standard streams    pipes, read by the launcher      messages to the client, and what C code prints
News of its state   none                             messages to the client, whose outputs are complete then
==================  ===============================  ==========================================================

With the kernel's news and redirection each frame would cost its engine half as much again, for messages that no
client reads.
"""

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

from hpcml.engines.ipyparallel.outgoing import Outgoing
from hpcml.engines.ipyparallel.plain import PlainProcess
from hpcml.engines.ipyparallel.view_output import ViewOutput

__all__ = ["FRAME_KEY", "replace_requests"]

FRAME_KEY = "hpcml_frame"  # in the content of a message whose one buffer is a frame; without a buffer, of a probe


def replace_requests(plain: PlainProcess, output: ViewOutput, answers: Outgoing, control: Outgoing) -> None:
    """Make the engine's kernel run frames as they arrive; a function and its arguments take a quarter longer.

    Parameters
    ----------
    answers, control
        Connections to the controller, for answers to requests and to those of control.
    """
    from ipyparallel.engine.kernel import IPythonParallelKernel

    kernel_class: Any = IPythonParallelKernel
    frames = _FrameRequests(plain, answers)
    apply = kernel_class.apply_request

    def apply_request(kernel: Any, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer a request: run its frame, or else apply its function in the kernel's shell."""
        if parent["content"].get(FRAME_KEY):
            frames.answer(kernel, stream, ident, parent)
        else:
            apply(kernel, stream, ident, parent)

    kernel_class.apply_request = apply_request
    kernel_class.shutdown_request = _refuse_to_end
    kernel_class.signal_request = _signal_sender(control)  # in place of ipyparallel's nanny
    kernel_class.control_msg_types = [*kernel_class.control_msg_types, "signal_request"]
    _replace_news(kernel_class, plain, output)


def _replace_news(kernel_class: Any, plain: PlainProcess, output: ViewOutput) -> None:
    """Make the kernel send news of its state and of outputs for the requests of views alone."""
    set_any_parent = kernel_class.set_parent
    publish_any_status = kernel_class._publish_status
    is_frame = True  # the request that the kernel handles now, or has handled last

    def set_parent(kernel: Any, ident: Any, parent: dict[str, Any], channel: str = "shell") -> None:
        """Note the request that is about to be handled; for one of a view, show the shell and its streams."""
        nonlocal is_frame
        if channel == "shell":
            is_frame = FRAME_KEY in parent["content"]
            if is_frame:
                return
            if plain.is_hidden or not output.is_open:
                plain.show()
                output.show()
        set_any_parent(kernel, ident, parent, channel)

    def publish_status(kernel: Any, status: str, channel: str, parent: Any = None) -> None:
        """Send the state of the kernel to the client of a view."""
        if channel != "shell" or not is_frame or parent is not None:
            publish_any_status(kernel, status, channel, parent)

    kernel_class.set_parent = set_parent
    kernel_class._publish_status = publish_status


class _FrameRequests:
    """Requests for frames; all modules that their answers need are imported before the first task runs."""

    def __init__(self, plain: PlainProcess, outgoing: Outgoing) -> None:
        from ipyparallel.serialize import serialize_object
        from zmq import POLLOUT

        from hpcml.engines.worker import run_frame

        self._plain = plain
        self._outgoing = outgoing
        self._serialize: Callable[[bytes], list[bytes]] = serialize_object
        self._writable = POLLOUT
        self._run_frame = run_frame

    def answer(self, kernel: Any, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Run the frame of a request, send its outcomes, and wait until the system's kernel has them."""
        content: dict[str, object] = {"status": "ok"}
        buffers: list[bytes] = []
        try:
            frames = parent["buffers"]
            buffers = self._serialize(self._plain.run(self._run_frame, frames[0]) if frames else b"")
        except BaseException as error:  # without an answer the driver would wait for ever
            content = _failure(kernel, error)
        before = self._outgoing.written()
        kernel.session.send(stream, "apply_reply", content, parent=parent, ident=ident, buffers=buffers)
        stream.flush(self._writable)
        # The next frame begins when this answer cannot be lost any more.
        self._outgoing.wait(before, sum(map(len, buffers)))


def _failure(kernel: Any, error: BaseException) -> dict[str, object]:
    """Return the content of an answer for a frame that could not be run, or its outcomes not be sent."""
    return {
        "status": "error",
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": traceback.format_exc().splitlines(),
        "engine_info": kernel.get_engine_info("apply"),
    }


def _refuse_to_end(kernel: Any, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
    """Answer a request to end, and go on: the engine is the Cluster's, and ends with it."""
    kernel.session.send(stream, "shutdown_reply", {"status": "ok"}, parent=parent, ident=ident)


def _signal_sender(control: Outgoing) -> Callable[..., None]:
    """Return the handler of requests for a signal: it answers, then sends the signal to this process."""
    from zmq import POLLOUT

    def _send(kernel: Any, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        content: dict[str, object] = {"status": "ok"}
        number = 0
        try:
            wanted = parent["content"]["sig"]
            number = signal.Signals[wanted] if isinstance(wanted, str) else wanted and signal.Signals(wanted)
        except (KeyError, ValueError) as error:
            content = _failure(kernel, error)
        before = control.written()
        kernel.session.send(stream, "signal_reply", content, parent=parent, ident=ident)
        stream.flush(POLLOUT)
        control.wait(before, 1)  # the process may end by the signal
        # To the process, so that its main thread takes the signal: this is the thread for control.
        os.kill(os.getpid(), number)

    return _send
