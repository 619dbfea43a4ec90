"""Configuration of Slurm, as `hpcml.slurm.commands.configuration_query` prints it."""

import re

__all__ = ["configured"]


def configured(text: str, name: str) -> str:
    """Return the first word of a parameter's value; "" where the parameter is missing.

    Examples
    --------
    >>> from hpcml.slurm.configuration import configured
    >>> text = "MaxArraySize            = 101\\nResumeTimeout           = 600 sec\\n"
    >>> configured(text, "ResumeTimeout"), configured(text, "MpiDefault")
    ('600', '')
    """
    found = re.search(rf"^{name}\s*=\s*(\w+)", text, re.MULTILINE)
    return found[1] if found is not None else ""
