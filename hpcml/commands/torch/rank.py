"""Program beside a rank of `hpcml run --engine torch`: starts the rank, and passes on its output, signals and end.

::

    hpcml run ── start, signals, end ──> stdin   ┌────────────┐ ── signals ──> rank: python script.py
              <── here, prints, ended ── stdout  │ this       │ <── stdout, stderr, end ──┘
                                                 └────────────┘ ── holds MASTER_PORT, beside rank 0

The rank is a process of its own: no module of hpcml is loaded into the user's program. The end of standard input
is the end of `hpcml run`, and so of the rank.
"""

import contextlib
import ctypes
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from types import FrameType
from typing import Any

from hpcml.commands.torch.output import Stream
from hpcml.engines.nodes.memory import oom_kills
from hpcml.slurm.message_lines import message_lines
from hpcml.training.ranks.network import held_address, interface_variables
from hpcml.training.ranks.place import Place, place_in_step

__all__ = ["main"]

LINE_SECONDS = 0.1  # longest wait for the rest of a line
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
HANDLED = (*ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
ENDING_SECONDS = 60.0  # after such a signal, in which the end of a rank is no failure
SAME_SIGNAL_SECONDS = 5.0  # in which an ordered signal is the one that Slurm has sent to the rank already
BEAT_SECONDS = 4.0  # between two heartbeats of a node
LOST_SECONDS = 5.0  # from SIGTERM to SIGKILL, where `hpcml run` has ended
DRAIN_SECONDS = 1.0  # for the output of processes that the rank has left
ERROR_LINES = 20  # of standard error, in the news of a failure
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class _Rank:
    """Rank, from its place to its end."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._order = order
        self._received: dict[int, float] = {}  # signal: when this process got it, and so the rank
        self._waker, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, self._note)
        env, mask = dict(os.environ), os.sched_getaffinity(0)
        self._is_local = order["place"] is not None
        self._place = Place(**order["place"]) if self._is_local else place_in_step(env, mask)
        self._env = env
        self._inputs = [0]
        self._part = b""  # of an order
        self._orders: list[dict[str, Any]] = []
        self._kill_at: float | None = None
        # Slurm notices the loss of a node after minutes. The first rank of each node has a heartbeat.
        self._beat_at = 0.0 if not self._is_local and self._place.local_rank == 0 else math.inf
        self._is_ending = False

    def _note(self, number: int, _: FrameType | None) -> None:
        self._received[number] = time.monotonic()

    def _send(self, message: Mapping[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the end of standard input comes too
            for line in message_lines({"rank": self._place.rank, **message}):
                os.write(1, line)

    def _variables(self, address: str) -> dict[str, str]:
        """Return the variables for the rank; those that the user has set stay, where they are no place."""
        host, port = address.split(":")
        place = self._place
        given = {**interface_variables(host, place.is_on_one_node), "OMP_NUM_THREADS": str(place.threads)}
        given["JAX_COORDINATOR_ADDRESS"] = address
        kept = {name: value for name, value in given.items() if not self._env.get(name)}
        master = {"MASTER_ADDR": host, "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": self._order["run"]}
        restarts = {
            "TORCHELASTIC_RESTART_COUNT": str(self._order["restart"]),
            "TORCHELASTIC_MAX_RESTARTS": str(self._order["restarts"]),
        }
        return {**kept, **place.variables(), **master, **restarts}

    def run(self) -> int:
        """Send the place, wait for the order to start, and run the program; return its exit status."""
        place, env = self._place, self._env
        step = f"{env['SLURM_JOB_ID']}.{env['SLURM_STEP_ID']}" if not self._is_local else ""
        here: dict[str, object] = {"here": place.host, "step": step}
        if place.rank == 0:
            here["address"] = held_address(place.peers(env), place.is_on_one_node)
        self._send(here)
        address = self._wait_for_start()
        if not address:
            return 128 + signal.SIGTERM
        kills = oom_kills()
        status, errors = self._run_program({**env, **self._variables(address)})
        text = b"\n".join(errors.splitlines()[-ERROR_LINES:]).decode(errors="replace")
        end = {"ended": status, "node": place.host, "ordered": self._is_to_end(), "errors": text}
        self._send({**end, "short": status == -signal.SIGKILL and oom_kills() > kills})
        return status if status >= 0 else 128 - status

    def _is_to_end(self) -> bool:
        recent = time.monotonic() - ENDING_SECONDS
        return self._is_ending or any(self._received.get(number, recent) > recent for number in ENDING)

    def _wait_for_start(self) -> str:
        """Return the address of rank 0; "" where this rank is not to start."""
        while not self._is_to_end():
            select.select([0, self._waker], [], [])
            self._clear_waker()
            self._read_orders()
            while self._orders:
                order = self._orders.pop(0)
                if "end" in order:
                    return ""
                if "start" in order:
                    return str(order["start"])
        return ""

    def _clear_waker(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._waker, 4096)

    def _read_orders(self) -> None:
        """Read the orders that have come; the end of standard input is one."""
        if not self._inputs or not select.select(self._inputs, [], [], 0)[0]:
            return
        data = os.read(0, 1 << 16)
        if data:
            *lines, self._part = (self._part + data).split(b"\n")
            self._orders += [json.loads(line) for line in lines]
        else:
            self._orders.append({"end": LOST_SECONDS})
            self._inputs = []

    def _run_program(self, environment: Mapping[str, str]) -> tuple[int, bytes]:
        """Run the program to its end; return its status as `subprocess` has it, and its last errors."""
        child = subprocess.Popen(
            self._order["program"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=partial(_follow, os.getpid()),  # noqa: PLW1509 - there is one thread
            # Signals of Slurm are for the group of its task, and a program without Slurm has a group to be ended.
            process_group=0 if self._is_local else None,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        streams = (Stream("out", child.stdout), Stream("err", child.stderr))
        while child.poll() is None:
            self._obey(child)
            self._pass_on(streams)
            self._wait(streams)
        self._drain(streams)
        if self._is_local and (child.returncode or self._is_ending):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        return child.returncode, streams[1].last

    def _wait(self, streams: tuple[Stream, ...]) -> None:
        """Wait for output, orders and signals, until a time that is due."""
        due = [LINE_SECONDS] if any(stream.held for stream in streams) else []
        if self._kill_at is not None:
            due.append(self._kill_at - time.monotonic())
        if time.monotonic() >= self._beat_at:
            self._send({"alive": self._place.host})
            self._beat_at = time.monotonic() + BEAT_SECONDS
        if self._beat_at < math.inf:
            due.append(self._beat_at - time.monotonic())
        opened = [stream.fd for stream in streams if stream.is_open]
        ready = select.select([*self._inputs, self._waker, *opened], [], [], max(min(due), 0) if due else None)[0]
        self._clear_waker()
        if not ready:
            for stream in streams:
                self._print(stream, stream.take())

    def _obey(self, child: "subprocess.Popen[bytes]") -> None:
        """Carry out the orders that have come, and the end that is due."""
        self._read_orders()
        while self._orders:
            order = self._orders.pop(0)
            if "end" in order:
                self._is_ending = True
                self._kill_at = time.monotonic() + order["end"]
            number = order.get("signal", signal.SIGTERM)
            if time.monotonic() > self._received.get(number, -SAME_SIGNAL_SECONDS) + SAME_SIGNAL_SECONDS:
                child.send_signal(number)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            child.kill()
            self._kill_at = None

    def _pass_on(self, streams: tuple[Stream, ...]) -> None:
        for stream in streams:
            if stream.is_open:
                self._print(stream, stream.read())

    def _print(self, stream: Stream, data: bytes) -> None:
        if data:
            self._send({stream.name: data.decode("latin-1")})

    def _drain(self, streams: tuple[Stream, ...]) -> None:
        """Pass on what is left, also of processes that the rank has left, for a moment."""
        end = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < end:
            opened = [stream.fd for stream in streams if stream.is_open]
            if not opened or not select.select(opened, [], [], 0)[0]:
                break
            self._pass_on(streams)
        for stream in streams:
            self._print(stream, stream.take())


def _follow(parent: int) -> None:
    """Have the kernel end this process when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> int:
    """Run the rank of the order that is the last word of the command line; return its exit status."""
    return _Rank(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    sys.exit(main())
