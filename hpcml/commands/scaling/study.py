"""A scaling study: measured runs, and what follows from them for each number of slots."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median

from hpcml.commands.scaling.fits import Amdahl, Usl, fit_amdahl, fit_usl, karp_flatt

__all__ = ["Measured", "Point", "Study", "make_study"]

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Measured:
    """One run of the script.

    Parameters
    ----------
    slots, repeat
        Number of slots, and of the repeat, from 1.
    seconds
        Time of the script without the start of the workers.
    start
        Seconds of the start, in which the script waited for its workers.
    wall
        Seconds from the start of the process, or of its job, to its end.
    used_cpus, cpus, nodes, gpus
        CPUs of the slots; CPUs, nodes and GPUs that were allocated.
    quality
        The number that the script has printed; None where none is asked for.
    billing
        Slurm's billing TRES of the job; None where Slurm does not say.
    job
        Number of the job; "" outside of one.
    """

    slots: int
    repeat: int
    seconds: float
    start: float
    wall: float
    used_cpus: int
    cpus: int
    nodes: int
    gpus: int = 0
    quality: float | None = None
    billing: float | None = None
    job: str = ""


@dataclass(frozen=True)
class Point:
    """All repeats on one number of slots.

    Parameters
    ----------
    seconds, lowest, highest
        Median, minimum and maximum of the times, in seconds.
    speedup, efficiency
        Of the median, against the fewest slots; `efficiency` is 1 for perfect scaling, strong or weak.
    karp_flatt
        Serial fraction by Karp and Flatt; None for the fewest slots, and in a weak study.
    core_hours_used, core_hours, node_hours, gpu_hours, billed
        Of one run, by the mean wall time: of the slots' CPUs; allocated; Slurm's billing times hours.
    """

    slots: int
    repeats: int
    seconds: float
    lowest: float
    highest: float
    start: float
    speedup: float
    efficiency: float
    karp_flatt: float | None
    quality: float | None
    nodes: int
    core_hours_used: float
    core_hours: float
    node_hours: float
    gpu_hours: float
    billed: float | None


@dataclass(frozen=True)
class Study:
    """Points of a study by number of slots, and the laws that fit a strong one."""

    points: tuple[Point, ...]
    is_weak: bool = False
    amdahl: Amdahl | None = None
    usl: Usl | None = None


def make_study(runs: Iterable[Measured], is_weak: bool = False) -> Study:
    """Return the study of some runs; in a weak one the work grows with the slots.

    Examples
    --------
    >>> from hpcml.commands.scaling.study import Measured, make_study
    >>> runs = [Measured(slots, 1, 10 * (0.2 + 0.8 / slots), 1, 12, slots, 8, 1) for slots in (1, 2, 4, 8)]
    >>> study = make_study(runs)
    >>> [round(point.efficiency, 3) for point in study.points], round(study.amdahl.serial, 6)
    ([1.0, 0.833, 0.625, 0.417], 0.2)
    """
    by_slots: dict[int, list[Measured]] = {}
    for one in runs:
        by_slots.setdefault(one.slots, []).append(one)
    groups = [by_slots[slots] for slots in sorted(by_slots)]
    times = {group[0].slots: [one.seconds for one in group] for group in groups}
    points = tuple(_point(group, groups[0], is_weak) for group in groups)
    if is_weak:
        return Study(points, True)
    return Study(points, False, fit_amdahl(times), fit_usl(times))


def _point(group: Sequence[Measured], base: Sequence[Measured], is_weak: bool) -> Point:
    seconds = [one.seconds for one in group]
    ratio = group[0].slots / base[0].slots
    faster = median(one.seconds for one in base) / median(seconds)
    efficiency = faster if is_weak else faster / ratio
    hours = mean(one.wall for one in group) / SECONDS_PER_HOUR
    qualities = [one.quality for one in group if one.quality is not None]
    billings = [one.billing for one in group if one.billing is not None]
    return Point(
        slots=group[0].slots,
        repeats=len(group),
        seconds=median(seconds),
        lowest=min(seconds),
        highest=max(seconds),
        start=median(one.start for one in group),
        speedup=efficiency * ratio,
        efficiency=efficiency,
        karp_flatt=None if is_weak else karp_flatt(faster, ratio),
        quality=median(qualities) if qualities else None,
        nodes=max(one.nodes for one in group),
        core_hours_used=hours * min(group[0].used_cpus, group[0].cpus),
        core_hours=hours * max(one.cpus for one in group),
        node_hours=hours * max(one.nodes for one in group),
        gpu_hours=hours * max(one.gpus for one in group),
        billed=hours * max(billings) if billings else None,
    )
