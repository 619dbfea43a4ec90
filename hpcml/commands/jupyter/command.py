"""``hpcml jupyter``: submits a job with JupyterLab, waits for its start, and prints how to reach it."""

import getpass
import importlib.util
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcml.commands.jobs.submit import sbatch_options, submitted
from hpcml.commands.jupyter.place import Place, Server
from hpcml.commands.jupyter.server import OWN_COMPUTER
from hpcml.engines.nodes.addresses import reach
from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.options import Given, SbatchOption, split_words
from hpcml.slurm.jobs.queue import JobQueue
from hpcml.slurm.jobs.reasons import reason_in_words
from hpcml.slurm.jobs.script import JobScript
from hpcml.slurm.jobs.site import Site, read_site
from hpcml.slurm.jobs.states import Job
from hpcml.slurm.jobs.submission import submit_job

__all__ = ["access_lines", "job_script", "start_jupyter"]

HELP = """usage: hpcml jupyter [option] ...

Start JupyterLab in a job, and print how to reach it. A Cluster that a notebook opens uses the job's allocation.

options:
  any option of sbatch   --nodes 1, --ntasks-per-node=28, --time 2:00:00: see `sbatch --help`
  --module NAME          load an environment module first; may be repeated
  --setup FILE           read a file of shell commands first
  --dry-run              print the job file, and submit nothing

Defaults are in ~/.config/hpcml.toml, as for `hpcml submit`.
"""
_OWN = {
    "--dry-run": SbatchOption("dry-run", value="none"),
    "--module": SbatchOption("module", value="repeated"),
    "--setup": SbatchOption("setup"),
}
LOOK_SECONDS = 0.5
PROBE_SECONDS = (5.0,)  # for each address of the node
LONGEST_PAUSE_SECONDS = 10.0
INTERRUPTED = 130


def start_jupyter(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Submit a job with JupyterLab, print how to reach it, and wait for its end; return the exit status.

    Raises
    ------
    HpcmlError
        The command line is wrong, Slurm refuses the job, or the job ends before JupyterLab has started.
    """
    if {"-h", "--help"} & set(words):
        print(HELP, end="")
        return 0
    given = split_words(words, sbatch_options(environment) | _OWN)
    if given.rest:
        raise HpcmlError(f"hpcml jupyter has no use for {' '.join(given.rest)!r}: it takes options alone")
    if importlib.util.find_spec("jupyterlab") is None:
        raise HpcmlError(
            f"JupyterLab is not installed here. Type: {sys.executable} -m pip install 'hpcml[notebook]'"
        )
    directory = Path(given.options.get("chdir") or os.getcwd()).absolute()
    site = read_site(environment)
    if "dry-run" in given.options:
        print(job_script(given, site, directory / ".hpcml" / "jupyter-…").text(), end="")
        return 0
    place = Place.new(directory)
    try:
        script = job_script(given, site, place.path)
        number = submit_job(script, environment, directory)
    except BaseException:
        place.remove()
        raise
    return _accompany(place, submitted(number, script, directory), JobQueue.of(environment))


def job_script(given: Given, site: Site, place: Path) -> JobScript:
    """Return the job file."""
    own = {option.name for option in _OWN.values()}
    chosen = {name: value for name, value in given.options.items() if name not in own}
    setup = given.options.get("setup") or site.setup
    return JobScript(
        options={"job-name": "jupyter", **site.sbatch, **chosen},
        command=(sys.executable, "-m", "hpcml.commands.jupyter.server", str(place)),
        modules=(*site.modules, *filter(None, (given.options.get("module") or "").split(","))),
        setup=None if setup is None else str(Path(setup).expanduser().absolute()),
    )


def _accompany(place: Place, job: Job, queue: JobQueue) -> int:
    """Print how to reach the server of a job, and wait for the end of the job."""
    queue.note([job])
    print(f"job    {job.label}  {job.name}\nlog    {job.output}", flush=True)
    try:
        server = _wait_for_server(place, job, queue)
        login = f"{getpass.getuser()}@{socket.getfqdn()}"
        token = place.token if sys.stdout.isatty() else None
        print("\n".join(access_lines(server, login, token, place.config)), flush=True)
        print(f"hpcml: Ctrl-C leaves the job running; `hpcml cancel {job.label}` ends it", file=sys.stderr)
        job = _wait_for_end(job, queue)
    except KeyboardInterrupt:
        print(
            f"\nhpcml: job {job.label} goes on until its time limit; `hpcml cancel {job.label}` ends it",
            file=sys.stderr,
        )
        return INTERRUPTED
    print(f"hpcml: job {job.label} has ended: {job.state} {reason_in_words(job)}".rstrip(), file=sys.stderr)
    place.remove()
    return 0


def access_lines(server: Server, login: str, token: str | None, config: Path) -> list[str]:
    """Return the lines that say how to reach a server; without `token` they name the file that holds it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hpcml.commands.jupyter.command import access_lines
    >>> from hpcml.commands.jupyter.place import Server
    >>> for line in access_lines(Server("n1", "10.0.0.5", 4173), "me@login", "1f2e", Path("config.json")):
    ...     print(line)
    ssh    ssh -N -L 4173:10.0.0.5:4173 me@login
    url    http://127.0.0.1:4173/lab?token=1f2e
    """
    target = f"-L {server.port}:{server.address}:{server.port}"
    if server.address == OWN_COMPUTER and not login.partition("@")[2].startswith(server.node):
        # The login node does not reach the node: ssh goes on to it, which sites allow while a job runs there.
        line = f"ssh -N -J {login} {target} {login.partition('@')[0]}@{server.node}"
    else:
        line = f"ssh -N {target} {login}"
    url = f"http://127.0.0.1:{server.port}/lab"
    if token is None:
        return [f"ssh    {line}", f"url    {url}", f"token  in {config}"]
    return [f"ssh    {line}", f"url    {url}?token={token}"]


def _wait_for_server(place: Place, job: Job, queue: JobQueue) -> Server:
    """Return the server of a job when it listens, after the choice of its address.

    Raises
    ------
    HpcmlError
        The job has ended before.
    """
    shown = ""
    while True:
        listing = queue.read()
        job = listing.jobs.get(job.job_id, job)
        if not job.may_run:
            place.remove()
            raise HpcmlError(
                f"job {job.label} has ended before JupyterLab has started: {job.state} {reason_in_words(job)}; "
                f"its log is {job.output}"
            )
        if (words := f"{job.state} {reason_in_words(job)}".rstrip()) != shown:
            shown = words
            print(f"hpcml: job {job.label} is {words}", file=sys.stderr, flush=True)
        until = time.monotonic() + queue.seconds_to_next(listing)
        while time.monotonic() < until:
            if (server := _look(place)) is not None:
                return server
            time.sleep(LOOK_SECONDS)


def _look(place: Place) -> Server | None:
    """Return the server if it listens; choose its address when the node has offered some."""
    offer = place.offer()
    if offer is not None and place.chosen() is None:
        pairs = [(address, port) for address, port in offer["addresses"]]
        reached = reach(pairs, bytes.fromhex(offer["token"]), PROBE_SECONDS)
        place.choose(next((address for address, error in reached.items() if not error), OWN_COMPUTER))
    return place.server()


def _wait_for_end(job: Job, queue: JobQueue) -> Job:
    while True:
        listing = queue.read()
        job = listing.jobs.get(job.job_id, job)
        if not job.may_run:
            return job
        time.sleep(min(queue.seconds_to_next(listing), LONGEST_PAUSE_SECONDS))
