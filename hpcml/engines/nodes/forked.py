"""Workers of a node: processes that the node's program forks, one for each slot, when its imports are done."""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import NoReturn

from hpcml.engines.nodes.devices import device_names, find_devices, has_amd
from hpcml.engines.nodes.memory import oom_kills
from hpcml.slurm.gpu_masks import count_gpus, slot_masks

__all__ = ["ForkedWorkers", "die_with_parent", "end_forks_with_parent"]

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_forks_with_parent() -> None:
    """Have each process that is forked from now on end with its parent, also where that ends during the fork."""
    forking = [0]

    def _note_parent() -> None:
        forking[0] = os.getpid()

    def _follow() -> None:
        die_with_parent()
        if os.getppid() != forking[0]:  # the parent has ended before the kernel was asked
            os._exit(1)

    os.register_at_fork(before=_note_parent, after_in_child=_follow)


class ForkedWorkers:
    """The worker processes of a node: forked, reaped, and the cause of each death.

    ``living`` maps the process id of each living worker to its slot; ``gpus`` is the number of GPUs of all slots.

    Parameters
    ----------
    slots
        The number of slots of this node.
    cpus
        The CPUs of each slot; empty where workers are not bound to CPUs.
    output
        The file descriptor of the program's messages, which workers close.
    environment
        The variables of this process. Those of a worker name the GPUs of its slot alone.
    """

    def __init__(
        self, slots: int, cpus: Sequence[set[int]], output: int, environment: MutableMapping[str, str]
    ) -> None:
        self.living: dict[int, int] = {}
        self._slots = slots
        self._cpus = cpus
        self._output = output
        self._environment = environment
        self._oom_kills = oom_kills()
        self._gpu_names = device_names(find_devices()) if environment.get("CUDA_VISIBLE_DEVICES") else {}
        self.gpus = count_gpus(environment, self._gpu_names)

    def fork(self, slot: int, run: Callable[[], int]) -> None:
        """Fork a worker for `slot`, which calls `run` and exits with the status that `run` returns."""
        parent = os.getpid()
        process = os.fork()
        if process == 0:
            self._run_and_exit(slot, parent, run)
        self.living[process] = slot

    def _run_and_exit(self, slot: int, parent: int, run: Callable[[], int]) -> NoReturn:
        """Turn this forked process into a worker."""
        status = 1
        try:
            self._separate(parent)
            self._take_share(slot)
            # The collector would write into the pages that are shared with the parent, and so copy them.
            gc.freeze()
            gc.enable()
            status = run()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def _separate(self, parent: int) -> None:
        """Separate a worker from the program: its process group, signal handlers, input and messages."""
        die_with_parent()
        if os.getppid() != parent:  # the parent has ended before the kernel was asked
            os._exit(1)
        # Signals to the program's group are not for tasks; the group is what a task starts.
        os.setpgid(0, 0)
        _restore_signals()
        _empty_input()
        os.close(self._output)

    def _take_share(self, slot: int) -> None:
        """Bind this worker to the CPUs and GPUs of its slot."""
        if self._cpus:
            os.sched_setaffinity(0, self._cpus[slot])
        self._environment.update(slot_masks(self._environment, slot, self._slots, self._gpu_names, has_amd()))

    def reap(self) -> Iterator[tuple[int, str]]:
        """Yield the slot and the cause of death of each worker that has ended."""
        while self.living:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            if process in self.living:  # else an orphan, which this process has adopted
                yield self.living.pop(process), self._cause_of_death(os.waitstatus_to_exitcode(status))

    def _cause_of_death(self, code: int) -> str:
        """Return the cause of a worker's death, given its exit code as `subprocess` writes it."""
        if code != -signal.SIGKILL:
            return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        before = self._oom_kills
        self._oom_kills = oom_kills()
        return "out of memory: the kernel sent SIGKILL" if self._oom_kills > before else "signal SIGKILL"

    def wait(self) -> list[int]:
        """Wait for the ends of all workers, which have been killed; return their slots."""
        for process in self.living:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, 0)
        slots = list(self.living.values())
        self.living.clear()
        return slots


def _restore_signals() -> None:
    """Set the signal handlers that Python starts with."""
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _empty_input() -> None:
    """Make standard input empty: the program's own is the driver's messages."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
