"""Fits of scaling laws: planted parameters are found again, also under noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcml.commands.scaling.fits import Usl, fit_amdahl, fit_usl, karp_flatt

SLOTS = (1, 2, 4, 8)


def times(serial, noise=0.0, repeats=5, seed=0, slots=SLOTS):
    """Times by Amdahl's law of 100 s on one slot, each longer by up to `noise`."""
    random = np.random.default_rng(seed)
    return {
        number: list(100 * (serial + (1 - serial) / number) * (1 + noise * random.exponential(size=repeats)))
        for number in slots
    }


@given(st.floats(0, 1), st.floats(1e-3, 1e6))
def test_amdahls_law_is_found_exactly(serial, one):
    scaled = {slots: [one / 100 * value for value in values] for slots, values in times(serial, repeats=1).items()}
    fit = fit_amdahl(scaled)
    assert fit.serial == pytest.approx(serial, abs=1e-9)
    assert fit.one == pytest.approx(one)
    assert fit.seconds(16) == pytest.approx(one * (serial + (1 - serial) / 16))


@pytest.mark.parametrize("seed", range(10))
def test_a_serial_fraction_of_a_fifth_is_found_within_five_percent_under_noise(seed):
    fit = fit_amdahl(times(0.2, noise=0.01, seed=seed))
    assert fit.serial == pytest.approx(0.2, rel=0.05)
    low, high = fit.interval
    assert low <= fit.serial <= high


def test_the_interval_covers_the_fraction_nearly_always():
    fits = [fit_amdahl(times(0.2, noise=0.005, seed=seed)) for seed in range(20)]
    covered = sum(low <= 0.2 * 1.01 and high >= 0.2 * 0.99 for low, high in (fit.interval for fit in fits))
    assert covered >= 17


def test_two_numbers_of_slots_are_no_law():
    assert fit_amdahl(times(0.2, slots=(1, 2))) is None
    assert fit_usl(times(0.2)) is None


@given(st.floats(0, 0.5), st.floats(1e-5, 0.05))
def test_the_universal_law_is_found_with_its_peak(contention, coherency):
    law = Usl(50.0, contention, coherency, None, None)
    fit = fit_usl({slots: [law.seconds(slots)] for slots in (1, 2, 4, 8, 16, 32)})
    assert fit.contention == pytest.approx(contention, abs=1e-9)
    assert fit.coherency == pytest.approx(coherency, abs=1e-9)
    around = [law.seconds(fit.peak * factor) for factor in (0.9, 1, 1.1)]
    assert fit.peak == 1 or around[1] == min(around)


def test_perfect_scaling_has_no_peak():
    assert fit_usl({slots: [10 / slots] for slots in (1, 2, 4, 8, 16)}).peak > 1e6
    assert Usl(1.0, 0.1, 0.0, None, None).peak == math.inf


def test_the_metric_of_karp_and_flatt_is_the_serial_fraction():
    for slots in (2, 3, 64):
        assert karp_flatt(1 / (0.1 + 0.9 / slots), slots) == pytest.approx(0.1)
    assert karp_flatt(1.0, 1) is None
