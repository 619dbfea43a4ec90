"""Share of a slot: CPUs and threads."""

from joblib._parallel_backends import ParallelBackendBase

from hpcml.slurm.slots import slot_cpus, thread_variables


def test_workers_are_bound_only_to_promised_cpus():
    assert slot_cpus({4, 5, 6, 7}, 2, 2, 4) == ([{4, 5}, {6, 7}], "")
    assert slot_cpus({0, 1, 2, 3, 4, 5, 6, 7}, 3, 2, 8)[0] == [{0, 1}, {2, 3}, {4, 5}]
    sets, note = slot_cpus(range(64), 4, 1, 4)
    assert not sets
    assert note == "the CPU mask holds 64 CPUs, the allocation promises 4: the workers are not bound"
    assert slot_cpus({0, 1}, 4, 1, 2)[0] == []


def test_thread_variables_are_those_of_joblib():
    """The list is joblib's own, and LOKY_MAX_CPU_COUNT, which joblib.cpu_count() reads."""
    expected = [*ParallelBackendBase.MAX_NUM_THREADS_VARS, "LOKY_MAX_CPU_COUNT"]
    assert thread_variables(3) == dict.fromkeys(expected, "3")
