"""Pages of the book, and the README that leads to them: names, and paths of files."""

import re

from book import BOOK, ROOT

import hpcml
import hpcml.evolve
import hpcml.models
import hpcml.training


def test_the_page_of_the_interface_has_all_public_names():
    named = re.findall(
        r"^\.\. auto\w+:: (hpcml\.(?:evolve\.|models\.|training\.)?\w+)(?:\(\))?$",
        (BOOK / "api.rst").read_text(),
        re.M,
    )
    modules = (hpcml, hpcml.evolve, hpcml.models, hpcml.training)
    public = [f"{module.__name__}.{name}" for module in modules for name in module.__all__]
    assert sorted(set(named) - {"hpcml.scoop_programs"}) == sorted(public)


def test_files_that_the_readme_links_are_there():
    links = re.findall(r"<([\w./]+)>`__?", (ROOT / "README.rst").read_text())
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).is_file()] == []
