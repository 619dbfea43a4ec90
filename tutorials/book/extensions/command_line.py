"""Directive ``command-line``: the sub-commands of hpcml, with the options and the help of their parser."""

import argparse
import importlib
import re
from collections.abc import Iterator
from textwrap import indent

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from hpcml.commands.main import WITH_OPTIONS_OF_SLURM, parser


class CommandLine(SphinxDirective):
    """Has a section for each sub-command."""

    def run(self) -> list[nodes.Node]:
        text = "\n\n".join(
            part for name, help, command in _commands(parser()) for part in _section(name, help, command)
        )
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _commands(whole: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield name, help and parser of each command that has no commands of its own."""
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                inner = list(_commands(command))
                yield from inner or [(command.prog, helps[name], command)]


def _section(name: str, help: str, command: argparse.ArgumentParser) -> Iterator[str]:
    yield f"{name}\n{'-' * len(name)}"
    yield f".. program:: {name}"
    yield f"{_escaped(help[:1].upper() + help[1:])}."
    place = WITH_OPTIONS_OF_SLURM.get(name.removeprefix("hpcml "))
    if place:  # it takes options that only this computer's sbatch knows, and has its help as a text
        yield _literal(importlib.import_module(place[0]).HELP)
        return
    yield _literal(command.format_usage())
    for action in command._actions:
        if action.help != argparse.SUPPRESS and "--help" not in action.option_strings:
            yield f".. option:: {_words(action)}\n\n{indent(_escaped(action.help or ''), '   ')}"
    if command.epilog:
        yield _escaped(command.epilog)


def _words(action: argparse.Action) -> str:
    """Return an option with its value, or the name of a positional argument."""
    if not action.option_strings:
        return str(action.metavar or action.dest)
    value = "" if action.nargs in (0, argparse.REMAINDER) else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"{word}{value}" for word in action.option_strings)


def _literal(text: str) -> str:
    return f".. code-block:: text\n\n{indent(text, '   ')}"


def _escaped(text: str) -> str:
    """Return a help text as reStructuredText: what is between backquotes is literal."""
    words = re.sub(r"([\\*_|])", r"\\\1", text)
    return re.sub(r"`([^`]*)`", lambda found: f"``{found[1].replace(chr(92), '')}``", words)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
