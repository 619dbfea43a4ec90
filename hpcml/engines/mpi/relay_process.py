"""The relay as a child of its node's launcher: forked, continued when it is stopped, ended with its files."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

from hpcml.engines.descendants import end_trees, halt
from hpcml.engines.mpi.control import LARGEST_ORDER, RelayOrder, send_order
from hpcml.engines.mpi.shared_memory import SharedFile, mapped_files, remove_unused
from hpcml.engines.nodes.forked import die_with_parent
from hpcml.engines.nodes.messages import send_message
from hpcml.engines.nodes.program import ignore_end_signals
from hpcml.engines.nodes.stopped import Continued

__all__ = ["RelayProcess"]

RELAY_SECONDS = 10.0  # for the relay's end, together with the other relays


class RelayProcess:
    """The relay of a node.

    Parameters
    ----------
    output
        File descriptor of the launcher's messages, which the relay's are added to.
    """

    def __init__(self, order: RelayOrder, output: int) -> None:
        self._node = order["node"]
        self._output = output
        self._files: list[SharedFile] = []
        self.is_ready = False  # MPI has started
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            self._run(parent, order, other)
        other.close()
        self._continued = Continued(self.process)

    def _run(self, parent: int, order: RelayOrder, control: socket.socket) -> NoReturn:
        status = 1
        try:
            self._control.close()
            die_with_parent()
            if os.getppid() == parent:
                ignore_end_signals()  # the launcher ends its relay
                os.close(0)
                os.close(self._output)
                from hpcml.engines.mpi.relay import run_relay

                status = run_relay(order, control)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def fileno(self) -> int:
        """Return the file descriptor that can be read when the relay has sent a message."""
        return self._control.fileno()

    def release(self) -> None:
        """Close the socket of the relay in a fork of the launcher."""
        self._control.close()

    def send(self, order: dict[str, Any], descriptor: int | None = None) -> None:
        """Send an order, with a file descriptor or none."""
        send_order(self._control, order, descriptor)

    def forward(self) -> None:
        """Send the relay's messages to the driver; end where the relay has ended, and with it the step."""
        if self._continued.look():
            print(f"hpcml: the relay of {self._node} was stopped, and is continued", file=sys.stderr, flush=True)
        while True:
            try:
                content = self._control.recv(LARGEST_ORDER, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:  # the relay has not read all orders; what it has sent comes after this
                continue
            if not content:
                sys.exit(f"hpcml: the relay of {self._node} has ended")
            message = json.loads(content)
            if "mapped" in message:
                self.is_ready = True
                self._files = [SharedFile(*file) for file in message["mapped"]]
            else:
                send_message({"node": self._node, **message}, self._output)

    def close(self, together: bool) -> None:
        """Order the relay to end, `together` with the others in MPI, or kill it: one of the others has died."""
        with contextlib.suppress(OSError, SystemExit):
            self.forward()  # why it has ended
        self._control.close()
        if not together:
            self._kill()

    def _kill(self) -> None:
        """Kill the relay, and note the files that MPI maps: one that is still starting has not reported them."""
        halt([self.process])
        self._files += mapped_files(self.process)
        end_trees([self.process])

    def wait(self) -> None:
        """Wait for the relay's end, some seconds or until SIGTERM, and remove what MPI has left in /dev/shm."""
        signal.signal(signal.SIGTERM, lambda *_: self._kill())
        deadline = time.monotonic() + RELAY_SECONDS
        with contextlib.suppress(ChildProcessError):  # a `reap` has seen its end
            while not os.waitpid(self.process, os.WNOHANG)[0]:
                time.sleep(0.01)
                if time.monotonic() > deadline:
                    self._kill()
        remove_unused(self._files)
