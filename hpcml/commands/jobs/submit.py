"""``hpcml submit``: writes a job file that ends in ``exec hpcml run …``, and submits that."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hpcml.cluster.options import flags
from hpcml.commands.program import check_program
from hpcml.errors import HpcmlError
from hpcml.slurm.containers import is_file_name
from hpcml.slurm.jobs.options import Given, SbatchOption, parse_help, split_words
from hpcml.slurm.jobs.queue import JobQueue
from hpcml.slurm.jobs.script import JobScript
from hpcml.slurm.jobs.site import Site, read_site
from hpcml.slurm.jobs.states import Job
from hpcml.slurm.jobs.submission import submit_job
from hpcml.slurm.process import run

__all__ = ["job_script", "own_options", "sbatch_options", "submit_program", "submitted"]

HELP = """usage: hpcml submit [option] ... [script | -- [-m module | -c code | script]] [arg] ...

Write a job file that ends in `exec hpcml run script`, and submit it.

options:
  any option of sbatch   --nodes 4, --ntasks-per-node=28, --time 1:00:00, --array 0-9: see `sbatch --help`
  any option of hpcml run, such as --resume, --container IMAGE, --restarts N: see `hpcml run --help`
  --requeue              stop in order near the job's end, put the job back in the queue, and resume
  --module NAME          load an environment module first; may be repeated
  --setup FILE           read a file of shell commands first
  --dry-run              print the job file, and submit nothing
  --parsable             print the job's number alone

Options are taken wherever they stand; the script's own options that have the same names are written after `--`.
Defaults are in ~/.config/hpcml.toml, where the table [sbatch] has options of sbatch.
"""
# Options of sbatch whose place hpcml takes.
_REFUSED = {"wrap": "write the program after the options", "wait": "type `hpcml wait JOB` after it"}
_OWN = (
    SbatchOption("dry-run", value="none"),
    SbatchOption("parsable", value="none"),
    SbatchOption("help", "h", "none"),
    SbatchOption("module", value="repeated"),
    SbatchOption("setup"),
    SbatchOption("requeue", value="none"),
    SbatchOption("restarts"),
)
SIGNAL = "B:USR1@60"  # to the batch script, which is `hpcml run`, so that it ends its tasks in order


def own_options() -> dict[str, SbatchOption]:
    """Return the options of hpcml that stand beside sbatch's, by their words: those of `hpcml run`, and more."""
    of_run = [
        SbatchOption((flag.name or name).replace("_", "-"), value="none" if flag.convert is None else "required")
        for name, flag in flags().items()
    ]
    options = {option.name: option for option in (*of_run, *_OWN)}
    words = {f"--{option.name}": option for option in options.values()}
    return words | {f"-{option.letter}": option for option in options.values() if option.letter}


def submit_program(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Submit the program that a command line names, or print its job file; return the exit status.

    Raises
    ------
    HpcmlError
        The command line is wrong, or Slurm refuses the job.
    """
    if {"-h", "--help"} & set(words[: words.index("--") if "--" in words else None]):
        print(HELP, end="")
        return 0
    given = split_words(words, sbatch_options(environment) | own_options())
    script = job_script(given, read_site(environment), sys.executable)
    if "dry-run" in given.options:
        print(script.text(), end="")
        return 0
    directory = Path(script.options.get("chdir") or os.getcwd()).absolute()
    queue = JobQueue.of(environment)
    number = submit_job(script, environment, directory)
    job = submitted(number, script, directory)
    if "parsable" in given.options:
        print(number)
    else:
        _print_submitted(job, queue.read().jobs.values())
    queue.note([job])
    return 0


def sbatch_options(environment: Mapping[str, str]) -> dict[str, SbatchOption]:
    """Return the options of this computer's sbatch, by their words.

    Raises
    ------
    HpcmlError
        There is no sbatch.
    """
    try:
        return parse_help(run(["sbatch", "--help"], environment))
    except HpcmlError as error:
        raise HpcmlError(
            "sbatch cannot be run: this computer has no Slurm. Type this on a login node of the cluster; to run "
            f"the program here, type `hpcml run`. ({str(error).splitlines()[0]})"
        ) from error


def submitted(number: int, script: JobScript, directory: Path) -> Job:
    """Return a job as Slurm has it just after its submission."""
    name = script.options["job-name"] or ""
    output = script.options.get("output") or ("slurm-%A_%a.out" if "array" in script.options else "slurm-%j.out")
    for letter, value in (("j", number), ("A", number), ("x", name)):
        output = output.replace(f"%{letter}", str(value))
    path = Path(directory, output)
    return Job(number, str(number), "PENDING", "None", directory=str(directory), output=str(path), name=name)


def job_script(given: Given, site: Site, python: str) -> JobScript:
    """Return the job file of a program; `python` is the interpreter that has hpcml.

    Raises
    ------
    HpcmlError
        There is no such program, or an option that has no place here.
    """
    for name, instead in _REFUSED.items():
        if name in given.options:
            raise HpcmlError(f"--{name} has no place in `hpcml submit`: {instead}")
    program = list(given.rest)
    check_program(program)
    if program[0] == "-":
        raise HpcmlError("a job has no standard input: name a script, or write `-- -c code`")
    own = {option.name for option in own_options().values()}
    options = {**site.sbatch, **{name: value for name, value in given.options.items() if name not in own}}
    if "requeue" in given.options:
        in_order = {"requeue": None, "open-mode": "append", "signal": SIGNAL}
        options = {**options, **{name: options.get(name, value) for name, value in in_order.items()}}
    if "chdir" in options and Path(program[0]).exists():
        program[0] = os.path.abspath(program[0])
    stem = Path(program[0]).stem if program[0] not in ("-m", "-c", "-") else (program[1:2] or ["stdin"])[0]
    name = "".join(char if char.isprintable() else " " for char in stem)[:60]
    setup = given.options.get("setup") or site.setup
    return JobScript(
        options={"job-name": name, **options},
        command=(*_hpcml(python), "run", *_run_words(given, "chdir" in options), *program),
        modules=(*site.modules, *filter(None, (given.options.get("module") or "").split(","))),
        setup=None if setup is None else str(Path(setup).expanduser().absolute()),
    )


def _run_words(given: Given, elsewhere: bool) -> list[str]:
    """Return the options of `hpcml run` among those of a command line; the job may start `elsewhere`."""
    names = [*((flag.name or name).replace("_", "-") for name, flag in flags().items()), "restarts"]
    found = {name: value for name, value in given.options.items() if name in names}
    image = found.get("container")
    if image is not None and is_file_name(image):
        if not os.path.exists(image):
            raise HpcmlError(f"there is no image {image} in {os.getcwd()}: check its path")
        found["container"] = os.path.abspath(image) if elsewhere else image
    return [word for name, value in found.items() for word in (f"--{name}", *([] if value is None else [value]))]


def _hpcml(python: str) -> list[str]:
    """Return the command hpcml of a Python: its script beside the interpreter, where there is one."""
    script = Path(python).parent / "hpcml"
    return [str(script)] if script.exists() else [python, "-m", "hpcml"]


def _print_submitted(job: Job, others: Iterable[Job]) -> None:
    """Print a job's number, its log, and the commands that follow."""
    twins = [other.label for other in others if _is_twin(job, other)]
    if twins:
        print(
            f"hpcml: job {', '.join(twins)} of the same name in this directory has not ended either; "
            f"`hpcml cancel {twins[0]}` ends that one",
            file=sys.stderr,
        )
    print(f"job   {job.label}  {job.name}")
    print(f"log   {job.output.replace('%a', 'TASK')}")
    print(f"next  hpcml jobs   hpcml logs {job.label} -f   hpcml wait {job.label}   hpcml cancel {job.label}")


def _is_twin(job: Job, other: Job) -> bool:
    alike = (job.name, job.directory) == (other.name, other.directory)
    return alike and other.job_id != job.job_id and other.may_run
