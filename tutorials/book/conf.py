"""Configuration of the book, which ``make docs`` builds in build/docs."""

import os
import sys
from pathlib import Path

import hpcml

HERE = Path(__file__).parent
sys.path += [str(HERE / "extensions"), str(HERE.parents[1] / "tests" / "benchmarks")]
os.environ["COLUMNS"] = "80"  # of the usage of commands

project = "hpcml"
version = release = hpcml.__version__
copyright = "the authors of hpcml; MIT license"
extensions = [
    "command_line",
    "exercise_pages",
    "figures",
    "matplotlib.sphinxext.plot_directive",
    "sphinx.ext.autodoc",
    "numpydoc",
]
plot_formats = ["svg"]
plot_html_show_formats = plot_html_show_source_link = False
nitpicky = True
# Names of other libraries have no pages here, and backquotes in docstrings are for parameters too.
nitpick_ignore_regex = [("py:.*", r"(?!hpcml\b).*"), ("py:obj", ".*")]
default_role = "py:obj"
smartquotes = False
highlight_language = "text"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
html_theme = "furo"
html_title = f"hpcml {release}"
html_show_sphinx = False
html_copy_source = False
