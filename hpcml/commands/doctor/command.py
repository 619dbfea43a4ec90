"""``hpcml doctor``: examines the allocation, the login node or this computer, and prints findings.

On a login node with options of salloc, the examination runs in a job of its own, see `job`.
"""

import json
import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence

from hpcml.commands.doctor.finding import Severity
from hpcml.commands.doctor.job import examine_in_job
from hpcml.commands.doctor.text import plain_data, render_text
from hpcml.errors import CommandError, HpcmlError
from hpcml.slurm.jobs.options import SbatchOption, parse_help, split_words
from hpcml.slurm.jobs.site import read_site
from hpcml.slurm.process import run

__all__ = ["doctor", "examine"]

HELP = """usage: hpcml doctor [--json] [--timeout SECONDS] [option of salloc] ...

Find what will fail or be slow: in a job, on its nodes; elsewhere, on this host. Exit with 1 when something will
fail.

options:
  --json                print all facts and findings as JSON
  --timeout SECONDS     until nodes that do not answer are named; by default 60
  any option of salloc  examine the nodes of a job of its own: --nodes 2, --partition=x; see `salloc --help`

The job waits for its start for 300 s unless --immediate says otherwise, and has 10 minutes unless --time does.
Defaults are in ~/.config/hpcml.toml, where the table [sbatch] has options of sbatch.
"""
_OWN = {
    "--json": SbatchOption("json", value="none"),
    "--timeout": SbatchOption("timeout"),
    "--help": SbatchOption("help", "h", "none"),
    "-h": SbatchOption("help", "h", "none"),
}
_TIMEOUT_SECONDS = 60.0
_ADVICE = "`hpcml doctor --help` and `salloc --help` list the options"

_NO_SALLOC = "no salloc runs on this computer, so those of salloc are for a login node of the cluster"


def doctor(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Examine what a command line asks for; return 1 when something will fail, else 0.

    Raises
    ------
    HpcmlError
        The command line is wrong, a job is asked for where there can be none, or a library cannot be imported.
    """
    known = _salloc_options(environment)
    advice = _ADVICE if known else f"`hpcml doctor --help` lists the options; {_NO_SALLOC}"
    given = split_words(words, known | _OWN, advice)
    if given.rest:
        raise HpcmlError(f"`hpcml doctor` takes options alone, and {given.rest[0]} is none: {advice}")
    if "help" in given.options:
        print(HELP, end="")
        return 0
    timeout = _seconds(given.options.get("timeout"))
    own = ["--timeout", f"{timeout:g}", *(["--json"] if "json" in given.options else [])]
    of_salloc = {name: value for name, value in given.options.items() if f"--{name}" not in _OWN}
    if not of_salloc:
        return examine(environment, timeout, "json" in given.options)
    if environment.get("SLURM_JOB_ID"):
        raise HpcmlError(
            f"this is job {environment['SLURM_JOB_ID']} already, and `hpcml doctor` without options of salloc "
            "examines its nodes. If that job is over, forget it:  unset ${!SLURM_@}"
        )
    site = {name: value for name, value in read_site(environment).sbatch.items() if f"--{name}" in known}
    return examine_in_job({**site, **of_salloc}, own, environment)


def _salloc_options(environment: Mapping[str, str]) -> dict[str, SbatchOption]:
    """Return salloc's options by their words; none where no salloc runs, as on a computer of no cluster."""
    try:
        return parse_help(run(["salloc", "--help"], environment))
    except CommandError:
        return {}


def _seconds(text: str | None) -> float:
    try:
        value = _TIMEOUT_SECONDS if text is None else float(text)
    except ValueError:
        value = math.nan
    if not 1 <= value <= 86_400:
        raise HpcmlError(f"--timeout {text} is no number of seconds from 1 to 86400")
    return value


def examine(environment: Mapping[str, str], timeout: float, as_json: bool = False) -> int:
    """Examine the job, or this host, and print the findings; return 1 when something will fail, else 0.

    Raises
    ------
    HpcmlError
        A library cannot be imported.
    """
    began = time.monotonic()
    try:
        from hpcml.commands.doctor.examination import collect, judge
    except ImportError as error:
        raise HpcmlError(
            f"hpcml cannot be imported whole by {sys.executable}: {error}. Install its libraries anew in this "
            "environment, `python -m pip install --force-reinstall hpcml`, and check PYTHONPATH"
        ) from error
    facts = collect(environment, timeout)
    findings = judge(facts)
    seconds = time.monotonic() - began
    if as_json:
        print(json.dumps(plain_data(facts, findings, seconds), indent=1))
    else:
        encoding = sys.stdout.encoding or "ascii"
        text = render_text(facts, findings, shutil.get_terminal_size().columns, seconds)
        print(text.encode(encoding, "replace").decode(encoding))
    return int(any(finding.severity == Severity.WILL_FAIL for finding in findings))
