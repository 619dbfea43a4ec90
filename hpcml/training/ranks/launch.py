"""Start of the ranks of a training program, and their end: one step of Slurm, or processes of this computer.

::

    srun, or a process for each rank ── here, prints, ended ──> inbox ──> `Ranks.run`, in the caller's thread
             <── start, signal, end ── `Ranks` <── signals, from the inbox

The first rank that fails ends all others. Each wait has an end: that for rank 0, and those for ends that were
ordered.
"""

import contextlib
import json
import os
import queue
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcml.errors import CommandError, EngineError
from hpcml.slurm.commands import signal_step
from hpcml.slurm.process import Inbox, Program, run
from hpcml.training.ranks.rank_end import SILENT_SECONDS, RankEnd

__all__ = ["Launch", "Ranks"]

FAILED_SECONDS = 5.0  # from SIGTERM to SIGKILL for the other ranks, where one has failed
ENDED_SECONDS = 30.0  # for ranks after SIGTERM, SIGINT or SIGHUP; that of Slurm's KillWait
LATE_SECONDS = 5.0  # after a SIGKILL was due, until Slurm is asked to end the step
BLOCKED_SECONDS = 1.0  # for which a write was not possible
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Launch:
    """Ranks to start."""

    commands: tuple[tuple[str, ...], ...]
    """One of srun for all ranks, or one for each rank."""
    environment: Mapping[str, str]
    log: Path
    """File for the messages of srun, and of the programs beside the ranks."""
    timeout: float
    """Seconds in which rank 0 must be there."""
    inputs: tuple[Path, ...] = ()
    """Pipes to make, for ranks that the standard input of the commands does not reach."""


class Ranks:
    """Ranks that are started now, and have ended when the context is left.

    Parameters
    ----------
    inbox
        Messages of the ranks; a message ``{"signal": number}`` of this process is passed on to them.
    write
        Called with the number of a stream, 1 or 2, and what a rank has written there.
    """

    def __init__(self, launch: Launch, inbox: Inbox, write: Callable[[int, bytes], None]) -> None:
        self._launch = launch
        self._inbox = inbox
        self._write = write
        self._step = ""
        self._deadline: float | None = time.monotonic() + launch.timeout
        self._is_started = False
        self._is_late = self._is_given_up = False
        self._beats: dict[tuple[int, str], float] = {}  # first rank of a node, node: the last heartbeat
        self._failed: RankEnd | None = None
        self.present = 0
        """Ranks that have come."""
        self.is_stopped = False
        """A signal, or the end of the time, has ended the ranks."""
        self.on_start: Callable[[], None] = lambda: None
        """Called when the ranks begin."""
        self._programs: list[Program] = []
        self._pipes: dict[Path, int] = {}

    def __enter__(self) -> "Ranks":
        env, log = self._launch.environment, self._launch.log
        try:
            for path in self._launch.inputs:
                os.mkfifo(path, 0o600)
                self._pipes[path] = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            for number, command in enumerate(self._launch.commands):
                self._programs.append(Program(f"ranks-{number}", command, env, self._inbox, log))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        for program in self._programs:
            program.stop(1.0 if self._is_given_up else FAILED_SECONDS + LATE_SECONDS)

    def _close(self) -> None:
        """Order the ranks to end, by the end of what they read, without waiting."""
        for path, pipe in self._pipes.items():
            os.close(pipe)
            path.unlink()
        self._pipes.clear()
        for program in self._programs:
            program.close()

    def run(self, watch: Callable[[], float | None], seconds_for: Callable[[int], float | None]) -> RankEnd | None:
        """Run the ranks to their end; return the end of the first that has failed.

        Parameters
        ----------
        watch
            Called after each message; it returns the seconds after which it must be called again.
        seconds_for
            Called with a signal; it returns the seconds in which the ranks have to end after that.

        Raises
        ------
        EngineError
            Rank 0 does not come in time; or the ranks end without an end of a rank, as on a node that is lost.
        """
        running = set(self._programs)
        while running and not self._is_given_up:
            program, message = self._next(watch())
            if message is None and program in running:  # and none of an earlier start, which has ended late
                running.discard(program)
                if program.status and self._failed is None and not self.is_stopped:
                    self._end(FAILED_SECONDS)
            elif message is not None and program in running:
                self._take(message)
            elif message and program is None:
                self.pass_on(message["signal"], seconds_for(message["signal"]))
        failed = any(program.status for program in self._programs) and not self.is_stopped
        if self._failed is None and (failed or self._is_given_up):
            ends = "have not ended" if self._is_given_up else "have ended"
            raise EngineError(self._describe(f"the ranks {ends}, and none of them has said why"))
        return self._failed

    @property
    def exit_status(self) -> int:
        """The largest exit status of the programs, as a shell has it; 0 for those that have not ended."""
        statuses = (program.status or 0 for program in self._programs)
        return max(status if status >= 0 else 128 - status for status in statuses)

    def _next(self, pause: float | None) -> tuple[Program | None, Mapping[str, Any] | None]:
        """Return the next message; an empty one where a time is due."""
        due = [pause] if pause is not None else []
        if self._deadline is not None:
            due.append(self._deadline - time.monotonic())
        if self._beats:
            due.append(min(self._beats.values()) + SILENT_SECONDS - time.monotonic())
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._be_late()
        with contextlib.suppress(queue.Empty):
            return self._inbox.get(timeout=max(min(due), 0.001) if due else None)
        self._find_lost()
        return None, {}

    def _be_late(self) -> None:
        """Raise EngineError where rank 0 is late; have Slurm kill the step where ordered ends are late."""
        if not self._is_started:
            raise EngineError(
                self._describe(f"rank 0 has not started within {self._launch.timeout:g} s (--timeout=…)")
            )
        if self._is_late:
            self._is_given_up = True
            return
        self._is_late = True
        self._deadline = time.monotonic() + LATE_SECONDS
        self._close()
        if self._step:
            with contextlib.suppress(CommandError):  # the step has ended
                run(signal_step(self._step, "KILL"), self._launch.environment)

    def _find_lost(self) -> None:
        """End the ranks where a node has been silent; called when all messages that have come are taken."""
        for (rank, node), beat in list(self._beats.items()):
            if time.monotonic() >= beat + SILENT_SECONDS:
                del self._beats[rank, node]
                self._fail(RankEnd(rank, node, 1, is_lost=True))

    def _fail(self, end: RankEnd) -> None:
        """End all ranks because of the end of the first that has failed."""
        if self._failed is None:
            self._failed = end
            if not self.is_stopped:
                self._end(FAILED_SECONDS)

    def _take(self, message: Mapping[str, Any]) -> None:
        """Take a message of a rank."""
        self.present += "here" in message
        if "out" in message or "err" in message:
            self._print(message)
        elif "address" in message:
            self._step = message["step"]
            self._is_started = True
            self._deadline = None
            self._order({"start": message["address"]})
            self.on_start()
        elif "alive" in message:
            self._beats[message["rank"], message["alive"]] = time.monotonic()
        elif "ended" in message:
            self._beats.pop((message["rank"], message["node"]), None)
            if message["ended"] and (self.is_stopped or not message["ordered"]):
                words = {"errors": message["errors"], "was_short_of_memory": message["short"]}
                self._fail(RankEnd(message["rank"], message["node"], message["ended"], **words))

    def _print(self, message: Mapping[str, Any]) -> None:
        number, name = (1, "out") if "out" in message else (2, "err")
        began = time.monotonic()
        self._write(number, message[name].encode("latin-1"))
        if time.monotonic() > began + BLOCKED_SECONDS:  # heartbeats have waited behind this output
            self._beats = dict.fromkeys(self._beats, time.monotonic())

    def _order(self, order: Mapping[str, object]) -> None:
        for program in self._programs:
            program.send(order)
        for pipe in self._pipes.values():
            os.write(pipe, json.dumps(order).encode() + b"\n")

    def _end(self, seconds: float) -> None:
        self._order({"end": seconds})
        self._set_deadline(seconds + LATE_SECONDS)

    def _set_deadline(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        self._deadline = due if self._deadline is None else min(self._deadline, due)

    def pass_on(self, number: int, seconds: float | None = None) -> None:
        """Send a signal to all ranks.

        They have to end within `seconds`; None stands for 30 s after SIGTERM, SIGINT and SIGHUP, and no end after
        other signals. One of these three that comes when they have to end already ends them at once.
        """
        if number in ENDING:
            seconds = 0.0 if self.is_stopped else ENDED_SECONDS if seconds is None else seconds
        if seconds is None:
            self._order({"signal": number})
        else:
            self.is_stopped = True
            self._order({"signal": number, "end": seconds})
            self._set_deadline(seconds + LATE_SECONDS)

    def _describe(self, what: str) -> str:
        text = self._programs[0].log_tail()
        statuses = {program.status for program in self._programs if program.status}
        ends = f", with exit status {max(statuses)}" if statuses else ""
        return f"{what}{ends}; the log {self._launch.log} ends with\n{text}"
