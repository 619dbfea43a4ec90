"""``hpcml scaling``: makes the runs of a study that are missing, and writes table, CSV, Markdown and picture."""

import argparse
import json
import platform
import re
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from hpcml.commands.program import check_program
from hpcml.commands.scaling.jobs import parse_record, run_as_jobs
from hpcml.commands.scaling.measuring import run_here
from hpcml.commands.scaling.order import Order
from hpcml.commands.scaling.prices import read_prices
from hpcml.commands.scaling.study import Measured, Study, make_study
from hpcml.commands.scaling.text import as_csv, as_markdown, as_text
from hpcml.engines.plan import make_nodes
from hpcml.errors import CommandError, HpcmlError
from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.commands import job_record
from hpcml.slurm.process import run

__all__ = ["study_scaling"]

MEASURED = "measured.jsonl"
ORDER = "study.json"


def study_scaling(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Make a study, or go on with it; return the exit status.

    Raises
    ------
    HpcmlError
        A run has failed, there are too few slots, or the directory has another study.
    """
    order = _order(arguments)
    providers = () if arguments.prices is None else read_prices(arguments.prices)
    allocation = None if order.sbatch is not None else detect(environment)
    _check_slots(order, allocation)
    measured = _begin(order)
    known = {(one.slots, one.repeat) for one in measured}
    missing = [one for one in order.runs() if one not in known]
    with (order.directory / MEASURED).open("a") as file:
        for one in _measure(order, missing, allocation, environment):
            measured.append(one)
            file.write(json.dumps(asdict(one)) + "\n")
            file.flush()
            print(f"hpcml: {one.slots} slots, run {one.repeat}: {one.seconds:.3g} s", file=sys.stderr, flush=True)
    study = make_study(measured, order.is_weak)
    about = [f"{platform.node()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}."]
    (order.directory / "scaling.csv").write_text(as_csv(study, providers))
    (order.directory / "scaling.md").write_text(as_markdown(study, order.title, about, providers))
    print(as_text(study, order.title, providers))
    _draw(order, study)
    return 0


def _draw(order: Order, study: Study) -> None:
    from hpcml.commands.scaling.picture import draw

    drawn = order.directory / "scaling.png"
    try:
        draw(study, order.title, drawn)
    except ImportError:
        print(f"hpcml: no picture: {sys.executable} -m pip install matplotlib", file=sys.stderr)
    else:
        print(f"hpcml: {order.directory} has scaling.png, scaling.md and scaling.csv", file=sys.stderr)


def _order(arguments: argparse.Namespace) -> Order:
    program = arguments.program or ([] if arguments.script is None else [arguments.script, *arguments.args])
    check_program(program)
    if program[0] == "-":
        raise HpcmlError("a study runs its program many times: name a script, -m module or -c code")
    name = Path(program[0]).stem if program[0] not in ("-m", "-c") else program[1].partition(".")[0]
    directory = arguments.directory or Path(f"scaling-{name}")
    return Order(
        program=tuple(program),
        slots=arguments.slots,
        repeats=arguments.repeat,
        directory=directory.absolute(),
        engine=arguments.engine,
        quality=_pattern("quality", arguments.quality),
        seconds=_pattern("seconds", arguments.seconds),
        sbatch=None if arguments.sbatch is None else tuple(shlex.split(arguments.sbatch)),
    )


def _pattern(name: str, text: str | None) -> re.Pattern[str] | None:
    """Return the pattern of a printed number, as an option gives it."""
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise HpcmlError(f"--{name} {text!r} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise HpcmlError(f"--{name} {text!r} needs one group, for the number: 'accuracy (.*)'")
    return pattern


def _check_slots(order: Order, allocation: Allocation | None) -> None:
    """Raise HpcmlError where the allocation has fewer slots than the study needs."""
    if allocation is None:
        return
    slots = sum(node.slots for node in make_nodes(allocation, 1, True))
    if slots < order.slots[-1]:
        raise HpcmlError(
            f"job {allocation.label} has {slots} slots, and the study needs {order.slots[-1]}: name fewer with "
            f"--slots, ask for --ntasks={order.slots[-1]}, or give each run a job of its own with --sbatch"
        )


def _begin(order: Order) -> list[Measured]:
    """Return the runs that an earlier start of this study has made; make its directory."""
    facts = {"program": list(order.program), "engine": order.engine, "sbatch": order.sbatch and list(order.sbatch)}
    if order.seconds is not None:
        facts["seconds"] = order.seconds.pattern
    order.directory.mkdir(parents=True, exist_ok=True)
    file = order.directory / ORDER
    if file.exists() and json.loads(file.read_text()) != facts:
        raise HpcmlError(f"{order.directory} has the study of another command: name another with --directory")
    file.write_text(json.dumps(facts))
    path = order.directory / MEASURED
    lines = path.read_text().splitlines() if path.exists() else []
    found = [Measured(**json.loads(line)) for line in lines]
    wanted = set(order.runs())
    kept = [one for one in found if (one.slots, one.repeat) in wanted]
    if kept:
        print(f"hpcml: {len(kept)} runs of this study are in {order.directory}", file=sys.stderr)
    return kept


def _measure(
    order: Order,
    missing: list[tuple[int, int]],
    allocation: Allocation | None,
    environment: Mapping[str, str],
) -> Iterable[Measured]:
    if order.sbatch is not None:
        yield from run_as_jobs(order, missing, environment)
        return
    billing = None
    if allocation is not None and missing:
        try:
            billing = parse_record(run(job_record(allocation.exact_id), environment)).billing
        except CommandError as error:
            print(f"hpcml: without Slurm's billing: {error}", file=sys.stderr)
    for slots, repeat in missing:
        yield replace(run_here(order, slots, repeat, allocation, environment), billing=billing)

