"""Defaults of a site: the file, and its mistakes."""

import pytest

from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.site import Site, read_site


def site_of(tmp_path, text):
    (tmp_path / "hpcml.toml").write_text(text)
    return read_site({"XDG_CONFIG_HOME": str(tmp_path)})


def test_all_names(tmp_path):
    text = 'modules = ["a/1", "b"]\nsetup = "s.sh"\n[sbatch]\npartition = "main"\nmem_per_cpu = 500\n'
    text += "exclusive = true\nhold = false\n"
    site = site_of(tmp_path, text)
    assert site == Site({"partition": "main", "mem-per-cpu": "500", "exclusive": None}, ("a/1", "b"), "s.sh")


def test_no_file_means_no_defaults(tmp_path):
    assert read_site({"HOME": str(tmp_path)}) == Site()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = ", "hpcml.toml cannot be read.*Correct the file"),
        ('partition = "main"', "unknown name 'partition'"),
        ('modules = "a"', "modules = 'a' is no list"),
        ("query_seconds = true", "query_seconds = True is no"),
        ("[sbatch]\nnodes = [1]", r"\[sbatch\] nodes = \[1\]"),
    ],
)
def test_mistakes_name_the_file(tmp_path, text, message):
    with pytest.raises(HpcmlError, match=message):
        site_of(tmp_path, text)
