"""Modules of the user that a worker has imported."""

import json
import sys
import time
import types

from hpcml.data.imported_modules import imported_modules


def test_a_module_of_the_user_is_listed_with_the_digest_of_its_file(tmp_path, monkeypatch):
    (tmp_path / "imported_here.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("imported_here")
    try:
        found = json.loads(imported_modules(time.time() + 1))
    finally:
        del sys.modules["imported_here"]
    path, digest = found["imported_here"]
    assert path == str(tmp_path / "imported_here.py")
    assert digest


def test_a_module_without_a_file_is_not_listed(monkeypatch):
    """torch.classes stands in sys.modules, with the file name "_classes.py"."""
    peculiar = types.ModuleType("peculiar_classes")
    peculiar.__file__ = "_classes.py"
    monkeypatch.setitem(sys.modules, "peculiar_classes", peculiar)
    assert b"peculiar_classes" not in imported_modules(time.time())
