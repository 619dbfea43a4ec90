"""Pages of the book and the README, and a run of their code blocks in the order of the page, as a reader runs it.

A block with ``:caption: NAME`` is saved as the file NAME in the page's own directory; ``~`` is the reader's home.
So is a file of the repository, ``literalinclude``, as a whole where the page shows a part of it.
In README.rst it has ``:name: NAME``, for package indexes know no captions. Other blocks are run by their language:

python  as a program, by ``python``
bash    by ``bash -e``; the word JOB stands for the number of the page's last job
text    not at all: output of a program, or a line of usage

A block with ``:class: fails`` must end with a status other than 0. A page that asks for Slurm is read on the login
node of a cluster, README.rst in a copy of the repository. pip installs nothing: PIP_DRY_RUN is set.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import docutils.parsers.rst.directives as known
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive
from docutils.parsers.rst.directives.body import CodeBlock

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "tutorials" / "book"
BIN = Path(sys.executable).parent
NEEDS_SLURM = re.compile(
    r"^\s*(sbatch|salloc|srun|squeue|scancel|sinfo|scontrol|hpcml (submit|jobs|logs|wait|cancel|jupyter))\b"
    r"|Cluster\([^)]*\bnodes=",
    re.MULTILINE,
)
NEEDS_TORCH = re.compile(r"^\s*(import|from) torch\b", re.MULTILINE)
NOT_READ = re.compile(r"code-block|literalinclude")  # in the text of a directive that only Sphinx knows
OF_PIP = "ignore::DeprecationWarning:pip._internal.metadata.importlib._envs"
AS_ROOT = {f"{name}_ALLOW_RUN_AS_ROOT{end}": "1" for name in ("OMPI", "PRTE") for end in ("", "_CONFIRM")}
VARIABLES = {
    **AS_ROOT,  # for mpirun
    "PIP_DRY_RUN": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip's word for yes: the build needs no network
    "PYTHONWARNINGS": f"error,{OF_PIP}",
}
NEEDS_MPI = re.compile(r"\bmpirun\b|\bmpi=True|--engine[ =]mpi|engine=.mpi|\bcomm=")
NEEDS_REDIS = re.compile(r"^\s*redis-server\b", re.MULTILINE)
SETTINGS = {"report_level": 5, "syntax_highlight": "none", "file_insertion_enabled": False}

Execute = Callable[[list[str], Path], tuple[int, str]]
"""Runs words in a directory; returns the exit status and the output."""


class BookError(AssertionError):
    """A page is wrong; the message names its line."""


@dataclass(frozen=True)
class Block:
    """Code block: its language, the name of the file that it is, its text, and its place."""

    language: str
    file: str
    text: str
    place: str
    fails: bool


@dataclass(frozen=True)
class Page:
    """Page of the book, or the README: its name, its code blocks, and those that are no such blocks."""

    name: str
    blocks: tuple[Block, ...]
    mistakes: tuple[str, ...] = ()

    @property
    def needs_slurm(self) -> bool:
        return any(
            NEEDS_SLURM.search(block.text)
            for block in self.blocks
            if not block.file and block.language in ("bash", "python")
        )

    @property
    def needs_redis(self) -> bool:
        return any(NEEDS_REDIS.search(block.text) for block in self.blocks if block.language == "bash")

    @property
    def needs_mpi(self) -> bool:
        return any(NEEDS_MPI.search(block.text) for block in self.blocks if block.language in ("bash", "python"))

    @property
    def needs_torch(self) -> bool:
        return any(NEEDS_TORCH.search(block.text) for block in self.blocks)


class _Code(CodeBlock):
    """Code block with the options that Sphinx knows too."""

    option_spec: ClassVar = {
        **CodeBlock.option_spec,
        "caption": known.unchanged,
        "emphasize-lines": known.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        given = {name: self.options.get(name, "") for name in ("caption", "name")}
        (block,) = super().run()
        block.attributes.update(language="".join(self.arguments), line=self.lineno, given=given)
        return [block]


class _Included(Directive):
    """File of the repository, by its path from the page, as a code block; with options that Sphinx knows too."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = dict.fromkeys(("caption", "language", "pyobject", "lines"), known.unchanged_required)

    def run(self) -> list[nodes.Node]:
        page = BOOK / Path(str(self.state.document.current_source)).with_suffix(".rst")
        path = Path(os.path.normpath(page.parent / self.arguments[0]))
        if not path.is_file():
            raise self.error(f"literalinclude: there is no file {path}")
        text = path.read_text().removesuffix("\n")
        block = nodes.literal_block(text, text)
        given = {"caption": self.options.get("caption", path.name)}
        language = self.options.get("language", path.suffix.removeprefix("."))
        block.attributes.update(language=language, line=self.lineno, given=given)
        return [block]


def pages() -> list[Page]:
    """Return the pages with code blocks."""
    paths = {path.relative_to(BOOK): path for path in (*BOOK.glob("*.rst"), *BOOK.glob("*/*.rst"))}
    paths[Path("README.rst")] = ROOT / "README.rst"
    found = [read(name.with_suffix("").as_posix(), path.read_text()) for name, path in sorted(paths.items())]
    return [page for page in found if page.blocks or page.mistakes]


def read(name: str, text: str) -> Page:
    """Return a page."""
    known.register_directive("code-block", _Code)
    known.register_directive("literalinclude", _Included)
    try:
        tree = publish_doctree(text, source_path=name, settings_overrides=SETTINGS)
    finally:
        known.register_directive("code-block", CodeBlock)
    messages = [message.astext() for message in tree.findall(nodes.system_message)]
    blocks, mistakes = [], [message for message in messages if NOT_READ.search(message)]
    for node in tree.findall(nodes.literal_block):
        if not isinstance(node.parent, nodes.system_message):
            block = _block(name, node)
            blocks.append(block)
            if not block.file and block.language not in ("python", "bash", "text"):
                mistakes.append(
                    f"{block.place}: neither python, bash, text, nor with a caption: {block.language!r}"
                )
    commands = "".join(block.text for block in blocks if block.language == "bash" and not block.file)
    for block in blocks:
        if "#SBATCH" in block.text and block.file not in commands:
            mistakes.append(f"{block.place}: no block submits {block.file}")
    return Page(name, tuple(blocks), tuple(mistakes))


def _block(page: str, node: nodes.literal_block) -> Block:
    file = node.get("given", {}).get("name" if page == "README" else "caption", "")
    place = f"{page}.rst, line {node.get('line', node.line)}"
    return Block(node.get("language", ""), file, node.astext() + "\n", place, "fails" in node["classes"])


def read_through(page: Page, directory: Path, execute: Execute, last_job: Callable[[], str] = str) -> None:
    """Save and run the blocks of a page; BookError for one that does not do what it is there for."""
    if page.mistakes:
        raise BookError("\n".join(page.mistakes))
    here, home = directory / "here", directory / "home"
    for folder in (here, home):
        folder.mkdir(exist_ok=True)
    for block in page.blocks:
        if block.file:
            path = here / block.file.replace("~", str(home))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language != "text":
            _run(block, here, execute, last_job)


def _run(block: Block, here: Path, execute: Execute, last_job: Callable[[], str]) -> None:
    words = ["bash", "-e", "-c", block.text]
    if block.language == "python":
        program = here / f"program-{block.place.rsplit(maxsplit=1)[-1]}.py"
        program.write_text(block.text)
        words = ["python", program.name]
    elif re.search(r"\bJOB\b", block.text):
        words[-1] = re.sub(r"\bJOB\b", last_job(), block.text)
    status, output = execute(words, here)
    if (status != 0) != block.fails:
        raise BookError(f"{block.place}: exit status {status}\n{block.text}\n{output[-4000:]}")


def reader(directory: Path, seconds: float) -> Execute:
    """Return a function that runs words as a reader of a page does, on this computer; a bound for each block."""
    variables = {**os.environ, **environment(directory)}

    def execute(words: list[str], here: Path) -> tuple[int, str]:
        done = subprocess.run(
            words,
            cwd=here,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        return done.returncode, done.stdout

    return execute


def environment(directory: Path) -> dict[str, str]:
    """Return the variables of a reader: a home of its own, and hpcml's Python first in PATH."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    return {"HOME": str(directory / "home"), "PATH": path, **VARIABLES}


def copied_repository(here: Path) -> None:
    """Copy the repository as a reader of the README has it, with a virtual environment; tests change the rest."""
    changed = (".*", "__pycache__", "*.egg-info", "build", "tests", "book")
    shutil.copytree(ROOT, here, ignore=shutil.ignore_patterns(*changed))
    (here / ".venv").symlink_to(sys.prefix)
