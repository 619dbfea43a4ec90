"""Steps of the workers: one, or one for each component of a heterogeneous job."""

import contextlib
import logging
import os
import time
from pathlib import Path

from hpcml.engines.nodes.steps import describe_refusal, python_module, worker_steps
from hpcml.engines.plan import Plan
from hpcml.engines.scoop.message_types import Order, StartOrder
from hpcml.engines.scoop.node import KEY_FILE
from hpcml.slurm.commands import step_environment
from hpcml.slurm.process import Inbox, Program
from hpcml.slurm.slots import thread_variables

__all__ = ["Steps"]

log = logging.getLogger("hpcml")


class Steps:
    """The programs of the nodes, one step for each component of the job.

    ``ended`` holds the steps that have ended, as the reader of `inbox` has seen.

    Parameters
    ----------
    inbox
        Queue of the programs' messages.
    key
        File with the run's key pair, whose path the programs read in their environment.
    """

    def __init__(self, plan: Plan, inbox: Inbox, key: Path) -> None:
        self._programs: list[Program] = []
        self.ended: set[Program] = set()
        environment = step_environment(plan.environment)
        environment.pop("PYTHONWARNINGS", None)  # meant for the script
        environment[KEY_FILE] = str(key)
        program = python_module(plan, f"{__package__}.node")
        if plan.allocation is None:
            steps = [(plan.nodes, [*program, plan.nodes[0].name, *plan.preload])]
        else:
            steps = worker_steps(plan, plan.nodes, [*program, "", *plan.preload], together=True)
        os.register_at_fork(after_in_child=self._release_stdin)
        try:
            for number, (nodes, command) in enumerate(steps):
                log.debug("starting %s", " ".join(command))
                variables = {**environment, **thread_variables(nodes[0].cpus_per_slot)}
                name = f"workers-{number}"
                self._programs.append(Program(name, command, variables, inbox, plan.run_dir / f"{name}.log"))
        except BaseException:  # the first step of two may run
            self.stop(1)
            raise

    def _release_stdin(self) -> None:
        """Release the programs' stdin in a fork of this process, which otherwise keeps the programs running."""
        for program in self._programs:
            program.release_stdin()

    @property
    def over(self) -> bool:
        """True when all steps have ended, and their last messages are read."""
        return len(self.ended) == len(self._programs)

    def send(self, message: Order | StartOrder) -> None:
        """Send a message to all nodes."""
        for program in self._programs:
            program.send(message)

    def logs(self) -> str:
        """Return the ends of the logs that are not empty, for a message."""
        logs = [program for program in self._programs if program.log.exists() and program.log.stat().st_size]
        text = "".join(f"\n{program.log} ends with\n{program.log_tail()}" for program in logs)
        refusal = describe_refusal(self._programs)
        return f"{text}\n{refusal}" if refusal else text

    def close(self) -> None:
        """Order all nodes to end their workers; do not wait."""
        for program in self._programs:
            program.close()

    def stop(self, grace: float) -> None:
        """End all programs, each means after `grace` seconds, and remove logs that are empty."""
        self.close()
        deadline = time.monotonic() + grace
        if not all(program.wait(deadline) for program in self._programs):
            for program in self._programs:
                program.terminate()
        for program in self._programs:
            program.stop(grace)
            with contextlib.suppress(OSError):
                if not program.log.stat().st_size:
                    program.log.unlink()
