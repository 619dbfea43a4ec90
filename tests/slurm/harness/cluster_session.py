"""Cluster as a test uses it: run, submit, wait, harm, count; and the things that a test left behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cluster_ns as ns
from cluster_conf import LOGIN, Shape
from patience import patient
from slurm_cluster import READY_TIMEOUT, SlurmCluster

FINAL_STATES = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
                "PREEMPTED", "TIMEOUT")
CLEAN_TIMEOUT = 15


@dataclass(frozen=True)
class JobEnd:
    """End of a job: Slurm's state, exit code and signal of its script, and its output."""

    state: str
    exit_code: int
    signal: int
    output: str


class ClusterSession(SlurmCluster):
    """Cluster for the length of a test session; its commands run on the login node.

    shared_dir: directory of the present test, at the same path on every node; not below /tmp.
    python: interpreter of the tests, which works on every node.
    """

    shared_dir: Path
    python = sys.executable

    def __init__(self, name: str, shape: Shape) -> None:
        super().__init__(name)
        self._started: list[subprocess.Popen[str]] = []
        self.up(shape, owner=os.getpid())
        self.shared_dir = self.state / "shared"

    # -- commands --------------------------------------------------------------------------------------------
    def popen(self, argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str | None] | None = None,
              cwd: str | os.PathLike[str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start a command on the login node, by default in the shared directory with pipes for its output.

        env: changes to this process's environment, None for a variable to leave out; no SLURM_* gets through
        but the cluster's SLURM_CONF. The process is the command itself, so signals reach it. A test that
        leaves it running fails.
        """
        changed = {"SHELL": "/bin/bash", **os.environ, **(env or {})}  # a login sets it, CI need not
        kept = {key: value for key, value in changed.items() if value is not None}
        defaults = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = self.login_command([os.fspath(word) for word in argv], cwd or self.shared_dir)
        process = subprocess.Popen(command, env=self.environment(kept), text=True, **defaults | options)
        self._started.append(process)
        return process

    def run(self, argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str | None] | None = None,
            timeout: float = 60, cwd: str | os.PathLike[str] | None = None, *,
            check: bool = False, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on the login node to its end, with `input` on its standard input; see `popen`.

        `timeout` is in seconds of the reference computer. TimeoutError, or with `check` AssertionError for an
        exit code other than 0, shows the output.
        """
        process = self.popen(argv, env, cwd, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE)
        try:
            out, err = process.communicate(input, timeout=patient(timeout))
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"no end after {patient(timeout)} s: {process.args}\n{_kill(process)}") from None
        assert not check or process.returncode == 0, (
            f"exit code {process.returncode}: {process.args}\n{out[-3000:]}\n{err[-3000:]}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    # -- jobs ------------------------------------------------------------------------------------------------
    def write(self, name: str, text: str) -> Path:
        """Write a file, executable, into the shared directory."""
        path = self.shared_dir / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def sbatch(self, script: str | Path, *options: str, env: Mapping[str, str | None] | None = None,
               cwd: str | os.PathLike[str] | None = None, args: Sequence[str] = ()) -> int:
        """Submit a job script, given as a file or as its text, with its arguments; job id.

        The job's output goes to the shared directory unless the options say otherwise.
        """
        if isinstance(script, str):
            text = script if script.startswith("#!") else f"#!/bin/sh\n{script}"
            script = self.write(f"job-{time.monotonic_ns()}.sh", text)
        argv = ["sbatch", "--parsable", f"--output={self.shared_dir}/slurm-%j.out", *options, str(script),
                *args]
        return int(self.run(argv, env=env, cwd=cwd, check=True).stdout.split(";")[0])

    def job_fields(self, job: int) -> dict[str, str]:
        """Return the fields of `scontrol show job`: JobState, Reason, NodeList, ExitCode, StdOut, …"""
        done = self.call(["scontrol", "--oneliner", "show", "job", str(job)])
        return dict(re.findall(r"(\S+?)=(\S*)", done.stdout))

    def wait_state(self, job: int, *states: str, timeout: float = 60) -> str:
        """Wait until a job is in one of these states; TimeoutError shows its state and output."""
        end = time.monotonic() + patient(timeout)
        while (state := self.job_fields(job).get("JobState", "")) not in states:
            if time.monotonic() > end:
                fields = self.job_fields(job)
                raise TimeoutError(f"job {job} is {state} ({fields.get('Reason')}) after {patient(timeout)} s, "
                                   f"not {' or '.join(states)}; its output:\n{self.output(job)[-3000:]}")
            time.sleep(0.1)
        return state

    def wait(self, job: int, timeout: float = 60) -> JobEnd:
        """Wait for the end of a job, also over a requeue."""
        state = self.wait_state(job, *FINAL_STATES, timeout=timeout)
        code, number = self.job_fields(job)["ExitCode"].split(":")
        return JobEnd(state, int(code), int(number), self.output(job))

    def output(self, job: int) -> str:
        """Return the output of a job until now, as the login node sees it."""
        path = self.job_fields(job).get("StdOut")
        file = self.seen_by(LOGIN, path) if path else None
        return file.read_text(errors="replace") if file and file.is_file() else ""

    # -- between tests ---------------------------------------------------------------------------------------
    def begin_test(self, name: str) -> None:
        """Give the next test a shared directory of its own."""
        safe = re.sub(r"[^A-Za-z0-9]+", "-", name)[-60:].strip("-")
        self.shared_dir = self.state / "shared" / safe
        shutil.rmtree(self.shared_dir, ignore_errors=True)
        self.shared_dir.mkdir()

    def leftovers(self) -> list[str]:
        """Return leftovers of a test: jobs in the queue, processes of jobs, files in /dev/shm."""
        found = [f"squeue: {line}" for line in
                 self.call(["squeue", "--noheader", "--format=%i %j %T %r"]).stdout.splitlines()]
        for node in (LOGIN, *self.nodes):
            found += [f"process {process.node_pid} on {node}: {' '.join(process.argv)[:200]}"
                      for process in self.processes(node)]
            found += [f"file on {node}: /dev/shm/{name}{self._content(node, name)}" for name in self.files(node)]
        return found

    def _content(self, node: str, name: str) -> str:
        path = self.seen_by(node, f"/dev/shm/{name}")
        return f" with {sorted(os.listdir(path))}" if path.is_dir() else ""

    def end_test(self) -> list[str]:
        """Undo the test's harm to nodes; remove and return its leftovers after CLEAN_TIMEOUT seconds."""
        self._repair()
        began = time.monotonic()
        given_up = False
        while (left := self.leftovers()) and time.monotonic() < began + patient(CLEAN_TIMEOUT):
            for process in self._started:
                process.poll()
            alone = all(one.startswith("squeue") for one in left)
            if alone and not given_up and time.monotonic() > began + patient(CLEAN_TIMEOUT) / 2:
                given_up = True
                self._give_up_completing()
            time.sleep(0.2)
        if left:
            self._clear()
        for process in self._started:
            _kill(process)
        self._started.clear()
        self.wait_idle(patient(READY_TIMEOUT))
        shutil.rmtree(self.shared_dir, ignore_errors=True)
        return left

    def _repair(self) -> None:
        """Repair the nodes, and let Slurm use those again that it has given up."""
        self.mend()
        for node, state in self.node_states().items():
            if "down" in state or "drain" in state:
                self.call(["scontrol", "update", f"nodename={node}", "state=resume"])

    def _give_up_completing(self) -> None:
        """Make Slurm stop waiting for lost nodes, which it would look for after minutes only."""
        for node, state in self.node_states().items():
            if "comp" in state:
                for new in ("down", "resume"):
                    self.call(["scontrol", "update", f"nodename={node}", f"state={new}", "reason=test"])

    def _clear(self) -> None:
        self.call(["scancel", "--full", "--signal=KILL", "--state=RUNNING"])
        self.call(["scancel", "--state=PENDING"])
        self.call(["scancel", "--state=RUNNING"])
        for node in (LOGIN, *self.nodes):
            ns.send([process.pid for process in self.processes(node)], signal.SIGKILL)
            for name in self.files(node):
                path = self.seen_by(node, f"/dev/shm/{name}")
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _kill(process: subprocess.Popen[str]) -> str:
    """End a process that may still be running, and close its pipes; return its unread output."""
    process.kill()
    try:
        printed = process.communicate(timeout=patient(2))
    except (subprocess.TimeoutExpired, ValueError) as error:
        # A child holds the pipes, or they were read to their end and closed before.
        printed = (getattr(error, "output", None), getattr(error, "stderr", None))
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
    texts = [text.decode(errors="replace") if isinstance(text, bytes) else text or "" for text in printed]
    return "\n".join(text[-3000:] for text in texts)
