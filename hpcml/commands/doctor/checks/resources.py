"""Checks of what a process may use on each node: CPUs, memory, GPUs, files, processes, time."""

from collections.abc import Mapping

from hpcml.commands.doctor.facts import Computer, Facts
from hpcml.commands.doctor.finding import Finding, Severity, about, fine, grouped
from hpcml.slurm.gpu_masks import masked_gpus
from hpcml.slurm.jobs.partitions import parse_memory
from hpcml.slurm.nodes import Node

__all__ = ["check_cpus", "check_gpus", "check_limits", "check_memory", "check_open_files", "check_time_left"]

# Of the ipyparallel engine, measured with 12 slots and rounded up. A launcher has 4 files open for each of its
# slots, a controller about 2 for each of all.
FILES_PER_SLOT, OTHER_FILES = 4, 256
THREADS_PER_SLOT, OTHER_THREADS = 10, 30  # a worker has 8, a controller and a launcher 25 together
# MB before a task has any data: a launcher 61, a controller 90, and 18 that each worker has for itself.
MEMORY_PER_SLOT, OTHER_MEMORY = 30, 160
_UNLIMITED = -1
_SHORT_SECONDS, _TOO_SHORT_SECONDS = 300.0, 60.0


def _limit_advice(facts: Facts) -> str:
    """Return who sets the limits of a job's processes (slurm.conf(5), PropagateResourceLimits)."""
    if facts.slurm is None:
        return "and raise it, in /etc/security/limits.conf"
    if facts.slurm.config.get("PropagateResourceLimits") == "NONE":
        return "and ask the administrators: slurmd gives its own limits to all jobs"
    return (
        "Slurm gives a job the limits of the shell that submitted it: raise them there first (ulimit), or submit "
        "with --propagate=NONE"
    )


def _pairs(facts: Facts) -> dict[str, tuple[Node, Computer]]:
    """Return each node's share of the allocation, and its computer."""
    nodes = {node.name: node for node in facts.nodes}
    own = Node(facts.driver.name, facts.driver.cpus)
    return {name: (nodes.get(name, own), computer) for name, computer in facts.computers.items()}


def check_cpus(facts: Facts) -> list[Finding]:
    """Check that each node's CPU mask, and its cgroup's quota, hold the CPUs of the job."""
    narrow = {}
    wide = False
    for name, (node, computer) in _pairs(facts).items():
        promised = (node.cpus or node.slots * node.cpus_per_slot) if facts.nodes else computer.cpus
        usable = min(computer.cpus, computer.quota or computer.cpus)
        wide |= bool(facts.nodes) and usable > promised
        if usable < promised:
            source = "the cgroup's quota" if usable < computer.cpus else f"the mask, of {computer.online} there"
            narrow[name] = f"{usable:g} CPU{'s' * (usable != 1)} for {promised} of the job ({source})"
    found = grouped(
        Severity.SLOW,
        "CPUs",
        narrow,
        "several workers share a CPU, and each takes as many times longer",
        "scontrol show job -d $SLURM_JOB_ID | grep CPU_IDs   (Slurm's own record)\nand submit anew without "
        "--cpu-bind and without variables of an outer job: env -u SLURM_CPU_BIND sbatch job.sh",
    )
    if found:
        return found
    if not facts.nodes:
        return fine("CPUs", f"{facts.driver.cpus} of {facts.driver.online} may be used")
    plugin = facts.slurm.config.get("TaskPlugin", "") if facts.slurm else ""
    more = f"; others too (TaskPlugin={plugin or 'unknown'}), so workers are not bound" if wide else ""
    return fine("CPUs", f"those of the job on each node{more}")


def check_memory(facts: Facts) -> list[Finding]:
    """Check that the memory of the job suffices for the workers before they have any data."""
    short, least = {}, None
    for name, (node, computer) in _pairs(facts).items():
        limits = [limit for limit in (_asked_memory(node, facts), computer.memory_limit, computer.memory) if limit]
        need = (OTHER_MEMORY + MEMORY_PER_SLOT * node.slots) * 1_000_000
        have = min(limits, default=0)
        least = have if least is None else min(least, have)
        if limits and have < need:
            short[name] = f"{about(have)} for {node.slots} workers, which take {about(need)} without any data"
    found = grouped(
        Severity.SLOW,
        "memory",
        short,
        "where Slurm enforces memory, workers are killed (OUT_OF_MEMORY); a worker that dies is started again",
        "#SBATCH --mem-per-cpu=2G",
    )
    where = " on each node, at least" if facts.nodes else ""
    return found or (fine("memory", f"{about(least)}{where}") if least else [])


def _asked_memory(node: Node, facts: Facts) -> int | None:
    """Return the bytes that the job has on a node; no variable has them where the user has asked for none."""
    job = facts.slurm.job if facts.slurm else {}
    per_node, per_cpu = (parse_memory(job.get(f"MinMemory{one}", "")) or 0 for one in ("Node", "CPU"))
    megabytes = node.memory or per_node or per_cpu * (node.cpus or node.slots * node.cpus_per_slot)
    return int(megabytes * 1_000_000) or None


def check_gpus(facts: Facts) -> list[Finding]:
    """Check that a step sees as many GPUs as the job has on each node."""
    wrong, held = {}, 0
    for name, (node, computer) in _pairs(facts).items():
        held += node.gpus
        visible = len(masked_gpus(computer.gpus.partition("=")[2]))
        if node.gpus and visible != node.gpus:
            wrong[name] = f"{computer.gpus or 'CUDA_VISIBLE_DEVICES='} for {node.gpus} GPUs of the job"
    found = grouped(
        Severity.SLOW,
        "GPUs",
        wrong,
        "the workers of these nodes use other GPUs than the job has, or none",
        "scontrol show job -d $SLURM_JOB_ID | grep GRES\n"
        "and ask for a number on each node: --gres=gpu:<type>:<number>",
    )
    return found or (fine("GPUs", f"{held}, all visible to a step") if held else [])


def check_open_files(facts: Facts) -> list[Finding]:
    """Check the hard limit on open files, to which the controller and the launchers raise their own."""
    total = sum(node.slots for node in facts.nodes)
    few, least = {}, _UNLIMITED
    for name, (node, computer) in _pairs(facts).items():
        slots = max(node.slots, total if name == facts.controller else 0)
        need = OTHER_FILES + FILES_PER_SLOT * slots
        hard = computer.limits["NOFILE"][1]
        least = hard if least == _UNLIMITED else min(hard, least) if hard != _UNLIMITED else least
        if hard != _UNLIMITED and hard < need:
            few[name] = f"RLIMIT_NOFILE is {hard}; {slots} slots need {need}"
    why = 'workers cannot connect: "Too many open files"'
    found = grouped(Severity.WILL_FAIL, "open files", few, why, f"ulimit -Hn\n{_limit_advice(facts)}")
    return found or fine("open files", "no limit" if least == _UNLIMITED else f"{least} at least, as hard limit")


def check_limits(facts: Facts) -> list[Finding]:
    """Check the limits on processes, address space, data, CPU time and file size."""
    few, others = {}, {}
    for name, (node, computer) in _pairs(facts).items():
        need = OTHER_THREADS + THREADS_PER_SLOT * node.slots
        processes = computer.limits["NPROC"][0]
        if 0 <= processes < need and computer.uid:  # the kernel does not hold root to it
            few[name] = f"RLIMIT_NPROC is {processes}; {node.slots} slots need {need} processes and threads"
        texts = _other_limits({key: soft for key, (soft, _) in computer.limits.items()})
        if texts:
            others[name] = ", ".join(texts)
    found = grouped(
        Severity.WILL_FAIL,
        "processes",
        few,
        'forks fail: "Resource temporarily unavailable"; all processes of yours on a node count',
        f"ulimit -u\n{_limit_advice(facts)}",
    )
    found += grouped(
        Severity.SLOW,
        "other limits",
        others,
        "a process that meets such a limit is killed, or gets errors that look like bugs of a library",
        f"ulimit -a\n{_limit_advice(facts)}",
    )
    return found or fine("other limits", "none on address space, CPU time or file size; enough processes")


def _other_limits(soft: Mapping[str, int]) -> list[str]:
    texts = {
        "AS": f"address space {about(soft['AS'])}, maps of files included",
        "DATA": f"data segment {about(soft['DATA'])}",
        "CPU": f"killed after {soft['CPU']} s of CPU time",
        "FSIZE": f"no file larger than {about(soft['FSIZE'])}",
    }
    return [text for key, text in texts.items() if soft[key] != _UNLIMITED]


def check_time_left(facts: Facts) -> list[Finding]:
    """Check the time until the job's limit."""
    if facts.allocation is None or facts.slurm is None:
        return []
    left = facts.slurm.seconds_left
    if left is None:
        return fine("time left", "no limit, or Slurm does not say")
    minutes, seconds = divmod(int(left), 60)
    text = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if left >= _SHORT_SECONDS:
        return fine("time left", text)
    severity = Severity.WILL_FAIL if left < _TOO_SHORT_SECONDS else Severity.SLOW
    why = "no task starts that would not end in time; the start of the workers alone takes seconds"
    type_ = "#SBATCH --time=1:00:00, or resume in the next job: hpcml run --requeue"
    seen = f"{text} until the time limit of job {facts.allocation.label}"
    return [Finding(severity, "time left", (seen,), why, type_)]
