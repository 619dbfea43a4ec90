"""Checks of the step: it starts on every node, soon, and the probes there get to their end."""

import re
import sys
from collections.abc import Mapping

from hpcml.commands.doctor.facts import Facts, NodeFacts
from hpcml.commands.doctor.finding import Finding, Severity, fine, grouped, listed
from hpcml.slurm.hostlist import compress

__all__ = ["check_answers", "check_imports", "check_start"]

_START, _ANSWER = "start of a step", "answer of a node"
_NO_PYTHON = ("execve()", "No such file or directory", "No module named")
_JOB_IS_OVER = ("nvalid job id", "expired", "already completing")
_END = re.compile(r"\btasks? [\d,-]+: (.+)")  # in srun's message about a task that has failed
_SLOW_START_SECONDS = 10.0
_SLOW_IMPORT_SECONDS = 20.0


def check_start(facts: Facts) -> list[Finding]:
    """Check that a step of one task starts on every node, and soon."""
    if facts.step is None:
        return []
    if facts.step.refused:
        return [_refused(facts)]
    seconds = {name: node.start_seconds for name, node in facts.seen.items() if node.start_seconds is not None}
    silent = {name: _silence(node, facts.step.timeout) for name, node in facts.seen.items() if name not in seconds}
    if silent and not seconds and not any(node.log for node in facts.seen.values()):
        return [_nothing_started(facts)]
    found = _not_started(silent)
    late = {name: f"{start:.0f} s" for name, start in seconds.items() if start > _SLOW_START_SECONDS}
    why = "a Cluster waits for its nodes for 60 s; busy nodes, or a Python on a slow file system, take long"
    found += grouped(Severity.SLOW, _START, late, why, "Cluster(timeout=300)")
    if found:
        return found
    slowest = max(seconds, key=lambda name: seconds[name])
    many = "" if len(seconds) == 1 else f"; the slowest is {slowest}"
    return fine(_START, f"{listed(tuple(seconds))} in {seconds[slowest]:.1f} s{many}")


def _not_started(silent: Mapping[str, str]) -> list[Finding]:
    """Return the findings for nodes that have not started the step, with what is known about each."""
    no_python = {name: text for name, text in silent.items() if any(one in text for one in _NO_PYTHON)}
    found = grouped(
        Severity.WILL_FAIL,
        _START,
        no_python,
        "no worker starts on a node without this environment",
        f"srun --overlap -N1 -n1 -w {_first(no_python)} ls -l {sys.executable}\n"
        "and install the environment in a directory that all nodes share, or submit with --exclude",
    )
    ill = {name: text for name, text in silent.items() if name not in no_python}
    return found + grouped(
        Severity.WILL_FAIL,
        _START,
        ill,
        "no worker starts there, and srun starts no task anywhere before all nodes of a step are there",
        f"scontrol show node {_named(ill)}   (State and Reason)\n"
        f"and submit with --exclude={_named(ill)}, or continue with the others: Cluster(min_slots=1)",
    )


def _first(nodes: Mapping[str, object]) -> str:
    return next(iter(nodes), "")


def _named(nodes: Mapping[str, object]) -> str:
    """Return the hostlist of `nodes`, whole, for a command."""
    return compress(nodes)


def _silence(node: NodeFacts, timeout: float) -> str:
    lines = [line for line in node.log.splitlines() if not _END.search(line)]
    return "\n".join(lines) or node.log or f"no program of the step has started within {timeout / 3:.0f} s"


def _nothing_started(facts: Facts) -> Finding:
    assert facts.step is not None
    lines = [line.strip() for line in facts.step.log.splitlines() if "srun" in line][-3:]
    seen = f"no node has started the step within {facts.step.timeout / 3:.0f} s"
    why = "slurmctld does not answer, all nodes are lost, or the steps that run hold what this one needs"
    type_ = "scontrol ping\nsqueue --steps --jobs=$SLURM_JOB_ID\nscontrol show job $SLURM_JOB_ID"
    return Finding(Severity.WILL_FAIL, _START, (seen, *lines), why, type_)


def _refused(facts: Facts) -> Finding:
    assert facts.step is not None
    lines = [line.strip() for line in facts.step.log.splitlines()]
    errors = [line for line in lines if "error" in line] or lines
    why, type_ = (
        "Slurm refuses to start a step in this job, so no worker starts",
        "scontrol show job $SLURM_JOB_ID",
    )
    if any(word in facts.step.log for word in _JOB_IS_OVER):
        why += ": the job that the SLURM_* variables name is over"
        type_ = "unset ${!SLURM_@}   (forget that job), or start anew from sbatch, salloc or srun --pty"
    return Finding(Severity.WILL_FAIL, _START, tuple(errors[-3:]), why, type_)


def check_answers(facts: Facts) -> list[Finding]:
    """Check that each probe that has started has sent all its facts; the last thing that it began is named."""
    hung, dead = {}, {}
    for name, node in facts.seen.items():
        if node.start_seconds is None or node.is_examined:
            continue
        begun = _begun(node)
        end = _END.search(node.log)
        if end:
            dead[name] = f"the probe began to {begun}, and died: {end[1]}"
        else:
            last = f"; its last line: {node.log.splitlines()[-1]}" if node.log else ""
            hung[name] = f"the probe began to {begun}, and has not ended{last}"
    found = grouped(
        Severity.WILL_FAIL,
        _ANSWER,
        dead,
        "a worker that does the same dies there; an illegal instruction means that the library was built for a "
        "newer processor",
        f"srun --overlap -N1 -n1 -w {_first(dead)} {sys.executable} -X faulthandler -c 'import zmq, numpy'\n"
        f"and submit with --exclude={_named(dead)}, or with a --constraint for nodes of one kind",
    )
    found += grouped(
        Severity.WILL_FAIL,
        _ANSWER,
        hung,
        "a worker that does the same hangs there; a file system that does not answer is the usual cause",
        f'srun --overlap -N1 -n1 -w {_first(hung)} ls -d ~ "$PWD" /tmp /dev/shm   (which one hangs?)\n'
        f"and submit with --exclude={_named(hung)}",
    )
    return found


def _begun(node: NodeFacts) -> str:
    """Return what the parts of a probe have begun that have not ended."""
    stages = [] if node.described else [node.stages.get("facts", "")]
    stages += [] if node.files is not None else [node.stages.get("files", "")]
    return " and to ".join(dict.fromkeys(stage for stage in stages if stage)) or "answer"


def check_imports(facts: Facts) -> list[Finding]:
    """Check that compiled libraries are imported on every node, and soon."""
    failed: dict[str, str] = {}
    slow: dict[str, str] = {}
    longest = 0.0
    for name, node in facts.seen.items():
        for module, result in node.imports.items():
            if isinstance(result, str):
                failed[name] = f"import {module}: {result}"
            elif result > _SLOW_IMPORT_SECONDS:
                slow[name] = f"import {module} took about {float(f'{result:.1g}'):.0f} s"
            else:
                longest = max(longest, result)
    found = grouped(
        Severity.WILL_FAIL,
        "imports",
        failed,
        "workers need zmq, with CURVE for encryption, and numpy; compiled code may not fit a node's processor or "
        "system libraries",
        "python -m pip install --force-reinstall pyzmq numpy   (on a node of this kind, in this environment)",
    )
    found += grouped(
        Severity.SLOW,
        "imports",
        slow,
        "each worker start reads thousands of small files from a file system that answers slowly",
        "install the environment on a faster file system, or copy it to the nodes' own disks in the job script",
    )
    measured = any(node.imports for node in facts.seen.values())
    return found or (fine("imports", f"zmq with CURVE, and numpy, in {longest:.1f} s at most") if measured else [])
