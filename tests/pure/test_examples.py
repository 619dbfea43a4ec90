"""Examples in docstrings run, and print the text that follows them."""

import doctest
import importlib
import pkgutil

import pytest

import hpcml

NAMES = sorted(
    module.name for module in pkgutil.walk_packages(hpcml.__path__, "hpcml.") if "on_path" not in module.name
)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("__main__")])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
