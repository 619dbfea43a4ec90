"""Measures of the benchmarks: programs, allocations and goals, as data only."""

from dataclasses import dataclass

TWELVE = ("--nodes=3", "--ntasks=12", "--ntasks-per-node=4")
THIRTY_SIX = ("--nodes=3", "--ntasks=36", "--ntasks-per-node=12")
ONE_NODE = ("--nodes=1", "--ntasks=12", "--ntasks-per-node=12")
TWO = ("--nodes=2", "--ntasks=2", "--ntasks-per-node=1")
TWENTY_FOUR = ("--nodes=3", "--ntasks=24", "--ntasks-per-node=8")
IDEAL = "ideal"


@dataclass(frozen=True)
class Goal:
    """Ours divided by the peer's is at most, or with `at_least` at least, `limit`."""

    limit: float
    at_least: bool = False

    def met(self, ratio: float) -> bool:
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Measure:
    """One figure.

    unit: of the value; "x ideal" is wall time over the time that perfect slots would take.
    goals: limit of the ratio for each peer; a peer without a goal is there for comparison.
    limits: peers that are not measured: a fixed value with which ours is compared.
    """

    name: str
    unit: str
    goals: dict[str, Goal]
    limits: dict[str, float]


@dataclass(frozen=True)
class Run:
    """A program that runs alone in an allocation of its own (or without Slurm), once per repeat.

    pool: whose workers it uses; "hpcml" is ours. A run gives values for all `measures`.
    batch: sbatch starts it, on the first node of its allocation; else salloc, on the login node.
    repeats: at most so many, for figures that hardly differ from one to the next.
    login: the program runs on the login node, outside any allocation.
    """

    pool: str
    program: str
    slots: int
    measures: tuple[str, ...]
    allocation: tuple[str, ...] | None
    timeout: float = 120
    batch: bool = False
    repeats: int = 100
    login: bool = False


def _measure(name: str, unit: str, limits: dict[str, float] | None = None, **goals: Goal) -> Measure:
    return Measure(name, unit, goals, limits or {})


# A node that has received the data once, or holds it once, has the value 1 of this unit.
_ONCE = {IDEAL: 1.0}


def _search(size: int) -> tuple[Measure, ...]:
    """The figures of a search over `size` MB; see programs/search.py. Both of dask's ways are to be beaten."""
    # A process' own memory in a search exceeds 10 MB by far, so that memory has no goal there.
    memory = {"ideal": Goal(1.1)} if size > 10 else {}
    driver = {"ideal": Goal(1.3)} if size > 10 else {}
    return (
        _measure(f"search_seconds_{size}mb", "s", dask=Goal(0.7), dask_scatter=Goal(0.7)),
        _measure(f"search_received_{size}mb", "x data", _ONCE, ideal=Goal(1.05)),
        _measure(f"search_memory_{size}mb", "x data", _ONCE, **memory),
        _measure(f"search_driver_{size}mb", "x data", _ONCE, **driver),
    )


MEASURES = (
    _measure("start_12", "s", dask=Goal(0.35), executorlib=Goal(0.5)),
    _measure("start_36", "s", dask=Goal(0.12)),
    _measure("provisioned_12", "s", dask_jobqueue=Goal(0.4)),
    _measure("joblib_noop", "tasks/s", dask=Goal(4, at_least=True)),
    _measure("map_sleep_1ms", "x ideal", {IDEAL: 1.0}, ideal=Goal(1.18)),
    _measure("map_sleep_10ms", "x ideal", {IDEAL: 1.0}, ideal=Goal(1.08)),
    _measure("map_sleep_100ms", "x ideal", {IDEAL: 1.0}, ideal=Goal(1.03)),
    *(
        _measure(f"uneven_{milliseconds}ms", "x ideal", {IDEAL: 1.0}, ideal=Goal(1.1), equal_split=Goal(0.6))
        for milliseconds in (2, 20, 200)
    ),
    _measure("digits_grid", "s", loky=Goal(1.10)),
    _measure("digits_grid_2_slots", "s"),
    _measure("memory_per_worker", "MB", {"limit": 45.0}, limit=Goal(1.0)),
    *_search(10),
    *_search(100),
    *_search(500),
    _measure("search_memory_100mb_8_slots", "x data", _ONCE, ideal=Goal(1.1)),
    _measure("broadcast_100mb", "MB/s", sbcast=Goal(0.8, at_least=True)),
    _measure("broadcast_500mb", "MB/s", sbcast=Goal(0.8, at_least=True)),
    _measure("broadcast_used_100mb", "MB/s"),
    _measure("broadcast_used_500mb", "MB/s"),
    _measure("argument_check", "us/task", {"limit": 20.0}, limit=Goal(1.0)),
    _measure("journal_write", "us/task", {"limit": 60.0}, limit=Goal(1.0)),
    _measure("journal_bytes", "bytes/task", {"limit": 200.0}, limit=Goal(1.0)),
    _measure("journal_key", "us/task", {"limit": 150.0}, limit=Goal(1.0)),
    _measure("resume_10000", "s", {"limit": 2.0}, limit=Goal(1.0)),
    _measure("recovery_killed", "s", {"limit": 2.0}, limit=Goal(1.0)),
    _measure("recovery_replaced", "s", {"limit": 3.0}, limit=Goal(1.0)),
    _measure("recovery_frozen", "s", {"limit": 10.0}, limit=Goal(1.0)),
    _measure("recovery_controller", "s", {"limit": 10.0}, limit=Goal(1.0)),
    _measure("deaths_every_3s", "x ideal", {IDEAL: 1.0}, ideal=Goal(1.25)),
    _measure("evolution_10us", "x serial", {"serial": 1.0}, serial=Goal(0.8, at_least=True)),
    _measure("evolution_1ms", "of ideal", {IDEAL: 1.0}, ideal=Goal(0.75, at_least=True)),
    _measure("evolution_10ms", "of ideal", {IDEAL: 1.0}, ideal=Goal(0.95, at_least=True)),
    *(
        _measure(f"{name}_{slots}_slots", "x serial", {"serial": 1.0}, serial=Goal(goal, at_least=True))
        for slots, goals in ((2, (0.9, 0.85, 0.8, 0.8)), (12, (0.85, 0.85, 0.8, 0.8)))
        for name, goal in zip(("school", "scoop", "arrays", "trees"), goals, strict=True)
    ),
    # submitit writes the arguments of each call.
    _measure("map_array_written", "x data", {**_ONCE, "submitit": 1000.0}, ideal=Goal(1.1)),
    _measure("map_array_seconds", "x ideal", {IDEAL: 1.0}, ideal=Goal(1.2)),
    _measure("job_questions", "in a minute", {"limit": 1.0}, limit=Goal(1.0)),
    *(
        measure
        for slots in (4, 12)
        for measure in (
            _measure(
                f"frames_map_{slots}",
                "tasks/s",
                mpi_futures=Goal(10, at_least=True),
                mpi_futures_100=Goal(1.5, at_least=True),
            ),
            _measure(f"frames_call_{slots}", "ms", {"limit": 0.5}, limit=Goal(1.0), mpi_futures=Goal(0.3)),
            _measure(f"frames_joblib_{slots}", "tasks/s", hpcml_ipyparallel=Goal(2, at_least=True)),
            _measure(f"frames_start_{slots}", "s", hpcml_ipyparallel=Goal(1.2)),
        )
    ),
    *(
        _measure(f"frames_population_{n}", "of ideal", {IDEAL: 1.0}, ideal=Goal(0.88, at_least=True))
        for n in (4, 12)
    ),
    _measure("frames_idle_12", "% of a core", {"limit": 1.0}, limit=Goal(1.0)),
    _measure("scale_driver", "frames/s"),
    *(_measure(f"scale_{seconds}s", "slots", {"limit": 100_000}) for seconds in (1, 10, 100)),
    *(_measure(f"train_sum_{ranks}", "s", allreduce=Goal(1.0)) for ranks in (2, 3)),
    _measure("train_epoch_2", "s", by_hand=Goal(1.1), ideal=Goal(1 / 0.9)),
    _measure("train_torch_2", "s", ddp=Goal(1.1)),
    _measure("train_uneven_2", "s", ideal=Goal(1.1)),
    _measure("checkpoint_write", "MB/s", disk=Goal(0.7, at_least=True)),
    _measure("checkpoint_stall", "of the save", {"limit": 0.2}, limit=Goal(1.0)),
    _measure("serving_rate", "of ideal", {IDEAL: 1.0}, ideal=Goal(0.9, at_least=True)),
    _measure("serving_p99", "x p50", {"limit": 3.0}, limit=Goal(1.0)),
    _measure("serving_swap", "ms", {"limit": 50.0}, limit=Goal(1.0)),
    _measure("steady_state", "x generations", {"generations": 1.0}, generations=Goal(1.5, at_least=True)),
)

_SLEEPS = ("map_sleep_1ms", "map_sleep_10ms", "map_sleep_100ms")
_UNEVEN = ("uneven_2ms", "uneven_20ms", "uneven_200ms")
_THROUGHPUT = ("joblib_noop", *_SLEEPS)
_DIGITS = ("digits_grid", "digits_grid_2_slots")
_TRANSFER = ("broadcast_100mb", "broadcast_500mb", "broadcast_used_100mb", "broadcast_used_500mb")
_JOURNAL = ("journal_write", "journal_bytes", "journal_key", "resume_10000")
_FAULTS = ("recovery_killed", "recovery_replaced", "recovery_frozen", "recovery_controller", "deaths_every_3s")
_EVOLUTION = ("evolution_10us", "evolution_1ms", "evolution_10ms")
_ARRAYS = ("map_array_written", "map_array_seconds", "job_questions")
_FRAMES = ("map", "call", "joblib", "start", "population")
_SCALE = ("scale_driver", "scale_1s", "scale_10s", "scale_100s")
_SCHOOL = ("school", "scoop", "arrays", "trees")
_SERVING = ("serving_rate", "serving_p99", "serving_swap")
_SYSTEMS = ("hpcml", "dask", "dask_scatter", "ipyparallel")


def _figures(size: int) -> tuple[str, ...]:
    """Return the measures of a search whose memory is not sampled."""
    return tuple(f"search_{what}_{size}mb" for what in ("seconds", "received", "driver"))


def _frames(slots: int, *names: str) -> tuple[str, ...]:
    """Return measures of small tasks over MPI."""
    return tuple(f"frames_{name}_{slots}" for name in names)


def _search_run(pool: str, *measures: str, repeats: int = 100) -> Run:
    """A search on three nodes with four slots each; loky's on one with twelve, which receives nothing."""
    alone = pool == "loky"
    names = tuple(name for name in measures if not (alone and "received" in name))
    allocation = ONE_NODE if alone else TWELVE
    return Run(pool, "search", 12, names, allocation, timeout=240, batch=True, repeats=repeats)


# The runs of a group take turns, so that a disturbance of the machine affects all of them.
GROUPS = (
    (
        Run("hpcml", "start", 12, ("start_12",), TWELVE),
        Run("dask", "start", 12, ("start_12",), TWELVE),
        Run("dask_nanny", "start", 12, ("start_12",), TWELVE),
        Run("ipyparallel", "start", 12, ("start_12",), TWELVE),
        Run("executorlib", "start", 12, ("start_12",), TWELVE),
    ),
    (
        Run("hpcml", "start", 36, ("start_36",), THIRTY_SIX),
        Run("dask", "start", 36, ("start_36",), THIRTY_SIX, timeout=300),
        Run("dask_nanny", "start", 36, ("start_36",), THIRTY_SIX, timeout=300),
    ),
    (
        Run("hpcml", "provision", 12, ("provisioned_12",), (), login=True),
        Run("dask_jobqueue", "provision", 12, ("provisioned_12",), (), login=True),
    ),
    (
        Run("hpcml", "throughput", 12, _THROUGHPUT, TWELVE),
        Run("dask", "throughput", 12, _THROUGHPUT, TWELVE),
        Run("ipyparallel", "throughput", 12, _THROUGHPUT, TWELVE, timeout=240),
        Run("executorlib", "throughput", 12, _SLEEPS, TWELVE),
    ),
    (
        Run("hpcml", "uneven", 12, _UNEVEN, TWELVE),
        Run("equal_split", "uneven", 12, _UNEVEN, TWELVE),
    ),
    (
        Run("hpcml", "digits", 12, ("digits_grid",), TWELVE, timeout=240),
        Run("hpcml", "digits", 2, ("digits_grid_2_slots",), TWO, timeout=240),
        Run("loky", "digits", 2, _DIGITS, None, timeout=240),
    ),
    (
        Run("hpcml", "memory", 12, ("memory_per_worker",), ONE_NODE),
        Run("dask", "memory", 12, ("memory_per_worker",), ONE_NODE),
        Run("ipyparallel", "memory", 12, ("memory_per_worker",), ONE_NODE),
    ),
    (
        *(_search_run(pool, *_figures(10), *_figures(100)) for pool in ("hpcml", "dask", "dask_scatter", "loky")),
        _search_run("ipyparallel", *_figures(10), *_figures(100), repeats=1),
        *(
            _search_run(pool, "search_memory_10mb", "search_memory_100mb", repeats=1)
            for pool in (*_SYSTEMS, "loky")
        ),
        *(
            Run(pool, "search", 24, ("search_memory_100mb_8_slots",), TWENTY_FOUR, batch=True, repeats=1)
            for pool in ("hpcml", "dask")
        ),
    ),
    (
        # Some peers take minutes for this, or all memory, and run once.
        *(_search_run(pool, *_figures(500)) for pool in ("hpcml", "loky")),
        *(_search_run(pool, *_figures(500), repeats=1) for pool in _SYSTEMS[1:]),
        *(_search_run(pool, "search_memory_500mb", repeats=1) for pool in ("hpcml", "dask", "loky")),
    ),
    (
        Run("hpcml", "transfer", 12, _TRANSFER, TWELVE, timeout=240, batch=True),
        Run("hpcml", "check", 1, ("argument_check",), None),
    ),
    (
        Run("hpcml", "journal", 2, _JOURNAL, None),
        Run("hpcml", "faults", 12, _FAULTS, TWELVE, timeout=300, batch=True),
    ),
    (
        Run("hpcml", "evolution", 12, (*_EVOLUTION, "steady_state"), TWELVE),
        Run("dask", "evolution", 12, _EVOLUTION, TWELVE, timeout=240),
        *(Run(pool, "evolution", 12, _EVOLUTION, None, 240) for pool in ("multiprocessing", "mpi", "scoop")),
    ),
    *(
        (
            Run("hpcml", "frames", slots, _frames(slots, *_FRAMES, *idle), where),
            Run("hpcml_ipyparallel", "frames", slots, _frames(slots, *_FRAMES), where),
            Run("mpi_futures", "frames", slots, _frames(slots, "map", "call"), where),
            Run("multiprocessing", "frames", slots, _frames(slots, "population"), None),
            Run("mpi_futures_100", "frames", slots, _frames(slots, "map"), where),
        )
        for slots, where, idle in ((4, None, ()), (12, TWELVE, ("idle",)))
    ),
    (Run("hpcml", "serving", 1, _SERVING, None),),
    (Run("hpcml", "scale", 12, _SCALE, TWELVE, timeout=300, batch=True, repeats=1),),
    (
        Run("hpcml", "training", 2, ("train_sum_2", "train_epoch_2", "train_uneven_2"), None),
        Run("hpcml", "training", 3, ("train_sum_3",), None),
        Run("hpcml", "torch_epoch", 2, ("train_torch_2",), None, timeout=1200),
        Run("hpcml", "training", 1, ("checkpoint_write", "checkpoint_stall"), None),
    ),
    (Run("hpcml", "jobs", 12, _ARRAYS, (), timeout=600, repeats=1, login=True),),
    (
        Run("hpcml", "school", 2, tuple(f"{name}_2_slots" for name in _SCHOOL), None),
        Run("hpcml", "school", 12, tuple(f"{name}_12_slots" for name in _SCHOOL), TWELVE, timeout=240),
    ),
)


def chosen(names: list[str]) -> tuple[tuple[Run, ...], ...]:
    """Return the groups with the runs that `names` need; all groups for no names."""
    if not names:
        return GROUPS
    groups = []
    for group in GROUPS:
        runs = [(run, tuple(name for name in run.measures if name in names)) for run in group]
        groups.append(tuple(Run(**vars(run) | {"measures": wanted}) for run, wanted in runs if wanted))
    return tuple(group for group in groups if group)
