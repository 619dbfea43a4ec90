"""States of nodes in words: which are ready, and which are powering up, off, or down.

A node in the cloud (``State=CLOUD`` in slurm.conf(5)) is switched on for its job, which is CONFIGURING until then.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hpcml.slurm.configuration import configured
from hpcml.slurm.hostlist import compress, expand

__all__ = ["NodeState", "late_in_words", "lost_nodes", "parse_node_states", "parse_resume_timeout"]

# Signs that sinfo appends to a state, see NODE STATE CODES in sinfo(1); others are of no account for a job.
_SIGNS = {
    "#": "is powering up",
    "~": "is powered off",
    "%": "is powering down",
    "@": "is about to reboot",
    "^": "is rebooting",
    "*": "does not respond",
}
_FAILED = ("down", "fail", "failing", "error", "unknown")
_LOST = re.compile(r"failed on node (\S+?):|Node failure on (\S+)")  # in the log of srun
_RESUME_TIMEOUT = 60.0  # seconds, Slurm's own default


@dataclass(frozen=True)
class NodeState:
    """State of a node: ``late`` is "" for one that is ready, else the reason in words.

    ``failed`` is whether Slurm has given it up: it will not come by itself.
    """

    late: str = ""
    failed: bool = False

    @property
    def is_gone(self) -> bool:
        """True where Slurm has given the node up, or has no answer from it."""
        return self.failed or self.late == _SIGNS["*"]


def parse_node_states(text: str, names: Iterable[str]) -> dict[str, NodeState]:
    """Return the states of nodes, given what `hpcml.slurm.record_commands.node_states_query` prints.

    Nodes that are not printed are in the cloud, and off: releases before 23.02 show these to administrators alone.

    Examples
    --------
    >>> from hpcml.slurm.node_states import late_in_words, parse_node_states
    >>> text = "n1|mixed|none\\nn2|allocated#|none\\nn3|down~|ResumeTimeout reached\\n"
    >>> late_in_words(parse_node_states(text, ["n1", "n2", "n3", "n4"]))
    'n2 is powering up; n3 is down (ResumeTimeout reached); n4 is powered off'
    """
    found = {}
    for line in text.splitlines():  # one for each partition
        name, _, rest = line.strip().partition("|")
        state, _, reason = rest.partition("|")
        found[name] = _state(state.strip(), reason.strip())
    off = NodeState(_SIGNS["~"])
    return {name: found.get(name, off) for name in names}


def _state(state: str, reason: str) -> NodeState:
    base = state.rstrip("".join(_SIGNS) + "!$+-").lower()
    if base in _FAILED:
        return NodeState(f"is down ({reason})" if reason not in ("", "none") else "is down", failed=True)
    return NodeState(next((words for sign, words in _SIGNS.items() if sign in state), ""))


def late_in_words(states: Mapping[str, NodeState]) -> str:
    """Return the nodes that are not ready and why, those that are alike together; "" where all are ready."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name, state in states.items():
        if state.late:
            alike[state.late].append(name)
    return "; ".join(f"{compress(names)} {_for(len(names), words)}" for words, names in alike.items())


def _for(count: int, words: str) -> str:
    """Return what is said of one node, for so many."""
    verb, _, rest = words.partition(" ")
    return words if count == 1 else f"{ {'is': 'are', 'does': 'do'}[verb] } {rest}"


def lost_nodes(text: str) -> set[str]:
    """Return the nodes that srun could not reach, or has lost, by its log.

    Examples
    --------
    >>> from hpcml.slurm.node_states import lost_nodes
    >>> lost_nodes("srun: error: Task launch for StepId=2.3 failed on node n3: Communication connection failure")
    {'n3'}
    """
    return {name for found in _LOST.findall(text) for name in expand("".join(found))}


def parse_resume_timeout(config: str) -> float:
    """Return the seconds within which a node must power up, from the output of ``scontrol show config``.

    Examples
    --------
    >>> from hpcml.slurm.node_states import parse_resume_timeout
    >>> parse_resume_timeout("ResumeRate              = 300 nodes/min\\nResumeTimeout           = 600 sec\\n")
    600.0
    """
    seconds = configured(config, "ResumeTimeout")
    return float(seconds) if seconds.isdecimal() else _RESUME_TIMEOUT
