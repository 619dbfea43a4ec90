"""Findings of ``hpcml doctor`` as text for a terminal, and as plain data."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from hpcml.commands.doctor.facts import Facts
from hpcml.commands.doctor.finding import Finding, Severity, listed

__all__ = ["next_command", "plain_data", "render_text"]

_MAX_LINES = 8  # of what was seen, in one block


def render_text(facts: Facts, findings: Sequence[Finding], width: int, seconds: float) -> str:
    """Return the findings as text: a line for each check that has passed, a block for each other finding."""
    passed = [finding for finding in findings if finding.severity == Severity.FINE]
    names = max((len(finding.check) for finding in passed), default=0)
    lines = [_headline(facts), ""]
    lines += [f"fine  {finding.check:{names}}  {finding.seen[0]}" for finding in passed]
    for severity in (Severity.WILL_FAIL, Severity.SLOW):
        for finding in findings:
            if finding.severity == severity:
                lines += ["", *_block(finding, width)]
    return "\n".join([*lines, "", _summary(findings, seconds), *next_command(facts)])


def _headline(facts: Facts) -> str:
    where = f"this host is {facts.driver.name}"
    if facts.allocation is None:
        return f"hpcml doctor: {where}, in no job"
    nodes = listed([node.name for node in facts.nodes])
    many = f"{len(facts.nodes)} node{'s' * (len(facts.nodes) != 1)} {nodes}"
    return f"hpcml doctor: job {facts.allocation.label}, {many}, {facts.allocation.slots} slots; {where}"


def _block(finding: Finding, width: int) -> list[str]:
    lines = [f"{finding.severity.upper()}: {finding.check}"]
    seen = list(finding.seen[:_MAX_LINES])
    if len(finding.seen) > _MAX_LINES:
        seen.append(f"and {len(finding.seen) - _MAX_LINES} more groups of nodes, see --json")
    parts = (("seen", seen), ("why", [finding.why]), ("type", finding.type.splitlines()))
    for name, texts in parts:
        for number, text in enumerate(text for whole in texts for text in whole.splitlines()):
            label = f"  {name:4}  " if number == 0 else " " * 8
            # A command is one line, to be copied.
            wrapped = [text] if name == "type" else textwrap.wrap(text, max(width - 8, 40), break_long_words=False)
            lines += [label + wrapped[0], *(" " * 8 + line for line in wrapped[1:])] if wrapped else []
    return lines


def _summary(findings: Sequence[Finding], seconds: float) -> str:
    counts = dict.fromkeys(Severity, 0)
    for finding in findings:
        counts[finding.severity] += 1
    text = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
    return f"{text} ({seconds:.1f} s)"


def next_command(facts: Facts) -> list[str]:
    """Return the lines that say what to type for what could not be checked here."""
    if facts.nodes or facts.slurm is None or facts.problem:
        return []
    return ["No node was examined, for this is no job. To examine two:  hpcml doctor --nodes=2"]


def plain_data(facts: Facts, findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    """Return findings and facts in types of JSON; the environment is left out, for it may hold secrets."""
    nodes = {name: dataclasses.asdict(node) for name, node in facts.seen.items()}
    return {
        "job": facts.allocation.label if facts.allocation is not None else None,
        "host": facts.driver.name,
        "seconds": round(seconds, 2),
        "will_fail": any(finding.severity == Severity.WILL_FAIL for finding in findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "next": next_command(facts),
        "driver": dataclasses.asdict(facts.driver),
        "slurm": dataclasses.asdict(facts.slurm) if facts.slurm is not None else None,
        "nodes": nodes,
    }
