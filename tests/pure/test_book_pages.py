"""Pages of the book that are made from the package name all of it."""

import re

from book import BOOK

import hpcml
import hpcml.evolve


def test_the_page_of_the_interface_has_all_public_names():
    named = re.findall(
        r"^\.\. auto\w+:: (hpcml\.(?:evolve\.)?\w+)(?:\(\))?$", (BOOK / "api.rst").read_text(), re.M
    )
    public = [f"{module.__name__}.{name}" for module in (hpcml, hpcml.evolve) for name in module.__all__]
    assert sorted(set(named) - {"hpcml.scoop_programs"}) == sorted(public)
