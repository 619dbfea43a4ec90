"""Writes a page for each exercise and each broken job, found by their folders, before Sphinx reads the pages."""

from pathlib import Path

from sphinx.application import Sphinx

from hpcml.commands.tutorial.exercises import find

KINDS = {"exercises": ("", "[0-9][0-9]_*"), "broken_jobs": ("broken-", "broken/*")}
"""Folder of the pages in the book, what is before a number on the command line, and the folders of the files."""
CONTENTS = "contents.txt"


def write_pages(app: Sphinx) -> None:
    """Write the pages and the lists of them; pages of exercises that are gone are removed."""
    book = Path(app.srcdir)
    for kind, (before, pattern) in KINDS.items():
        texts = {CONTENTS: ".. toctree::\n   :maxdepth: 1\n\n"}
        for readme in sorted(book.parent.glob(f"{pattern}/README.rst")):
            name, title = readme.parent.name, readme.read_text().splitlines()[0]
            number = name.partition("_")[0]
            word = f"{before}{number}" if before else number.lstrip("0")
            texts[f"{name}.rst"] = _page(f"../../{readme.relative_to(book.parent)}", readme.parent, word)
            texts[CONTENTS] += f"   {number.lstrip('0')}. {title} <{kind}/{name}>\n"
        _write(book / kind, texts)


def _page(readme: str, folder: Path, word: str) -> str:
    """Return a page: the title of a README, a line about the exercise, the rest of the README, and the picture."""
    parts = [
        f".. include:: {readme}\n   :end-line: 2\n",
        f"*{find(word).minutes} minutes.* ``hpcml tutorial start {word}`` copies the files.\n",
        f".. include:: {readme}\n   :start-line: 2\n",
    ]
    if (folder / "expected.png").exists():
        picture = readme.replace("README.rst", "expected.png")
        parts += [
            f"The picture\n-----------\n\n.. image:: {picture}\n   :alt: Picture of the solution's results\n"
        ]
    return "\n".join(parts)


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write files, of which those that stay the same keep their time, and remove all others."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages when a build begins."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
