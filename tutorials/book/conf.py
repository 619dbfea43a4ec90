"""Configuration of the book, which ``make docs`` builds in build/docs."""

import sys
from pathlib import Path

import hpcml

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "hpcml"
version = release = hpcml.__version__
copyright = "the authors of hpcml; MIT license"
extensions = []
exclude_patterns = []
nitpicky = True
highlight_language = "text"
html_theme = "furo"
html_title = f"hpcml {release}"
html_show_sphinx = False
html_copy_source = False
