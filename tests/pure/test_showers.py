"""Simulation of showers in the example of `tutorials/showers`, and the distances between two sets of them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

SOURCE = Path(__file__).parents[2] / "tutorials" / "showers" / "showers.py"


@pytest.fixture(scope="module")
def showers():
    """The module of the example."""
    spec = importlib.util.spec_from_file_location("showers", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def events(showers):
    """Energies and showers."""
    return showers.simulate(1500, 5)


def test_a_seed_gives_the_same_showers(showers):
    one, same, other = (showers.simulate(600, seed) for seed in (3, 3, 4))
    assert all(map(np.array_equal, one, same))
    assert not np.array_equal(one[1], other[1])
    assert one[1].shape == (600, 24, 12)


def test_the_energy_is_that_of_the_electron_but_for_leaks_and_sampling(showers, events):
    energies, cells = events
    response = cells.sum((1, 2)) / energies
    assert 0.9 < response.mean() < 1
    spread = (response - response.mean()) * np.sqrt(energies)
    assert spread.std() == pytest.approx(1 / np.sqrt(showers.SPOTS), rel=0.25), "20 % at 1 GeV, and leaks"
    assert np.allclose(cells * showers.SPOTS, np.round(cells * showers.SPOTS), atol=1e-3), "whole spots"


def test_the_maximum_is_deeper_by_the_logarithm_of_the_energy(showers, events):
    """Review of Particle Physics: it is at ln(E / E_c) - 0.5 radiation lengths; here 0.6 behind the first one."""
    energies, cells = events
    for low, high in ((10, 20), (80, 100)):
        chosen = (energies > low) & (energies < high)
        profile = cells[chosen].sum((0, 2))
        top = np.polyfit(np.arange(-3, 4), profile[profile.argmax() - 3 : profile.argmax() + 4], 2)
        found = profile.argmax() + 0.5 - top[1] / (2 * top[0])
        expected = np.log(energies[chosen].mean() / showers.CRITICAL) - 0.5 + 0.6
        assert found == pytest.approx(expected, abs=0.7)


def test_the_energy_falls_by_an_exponential_law_from_the_axis(events):
    rings = events[1].sum((0, 1))
    ratios = rings[1:] / rings[:-1]
    assert ((ratios > 0.5) & (ratios < 0.8)).all()


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_those_of_scipy(seed, showers):
    random = np.random.default_rng(seed)
    edges = np.linspace(-1, 4, 31)
    one, other = random.random((2, 30))
    centres = (edges[1:] + edges[:-1]) / 2
    mean = np.average(centres, weights=other)
    deviation = np.sqrt(np.average((centres - mean) ** 2, weights=other))
    expected = wasserstein_distance(centres, centres, one, other) / deviation
    assert showers.distance(edges, one, other) == pytest.approx(expected)
    assert showers.distance(edges, other, 3 * other) == pytest.approx(0)


def test_sets_of_the_same_law_are_near_and_others_are_not(showers, events):
    reference = showers.histograms(*events)
    near = showers.distances(showers.histograms(*showers.simulate(1500, 6)), reference)
    assert set(near) == {"layer", "ring", "response", "depth", "length", "width"}
    assert max(near.values()) < 0.15
    energies, cells = events
    later = np.roll(cells, 1, axis=1)
    far = showers.distances(showers.histograms(energies, later), reference)
    assert far["depth"] > 0.4
    assert far["ring"] < 1e-6
    assert showers.distances(showers.histograms(energies, 0.9 * cells), reference)["response"] > 1
