"""Showers of electrons in a calorimeter: a Monte-Carlo simulation of them, and distances between two sets.

A shower's energy is deposited in spots. Their number follows Poisson's law, their depth a gamma distribution with
the maximum at ln(E / E_c) - 0.5 radiation lengths (Particle Data Group, Review of Particle Physics, "Passage of
particles through matter"), and their distance from the axis an exponential one, which widens with the depth. Each
shower has its own maximum, length and width, as in the parametrisation of Grindhammer, Rudowicz and Peters (NIM A
290, 469, 1990).
"""

import numpy as np

LAYERS, RINGS = 24, 12
RING = 0.25  # width of a ring, in Molière radii; a layer is one radiation length deep
LOWEST, HIGHEST = 10.0, 100.0  # energies of the electrons, in GeV
CRITICAL = 0.01  # E_c in GeV, about that of iron
SPOTS = 25  # for each GeV: the energy in the calorimeter fluctuates by 20 % / sqrt(E)
TOGETHER = 500  # showers that are made at once, for the memory

QUANTITIES = ("layer", "ring", "response", "depth", "length", "width")
"""Names of the histograms that two sets of showers are compared by, see `histograms`."""


def simulate(count, seed):
    """Return energies, in GeV, and as many showers: the energy in each layer and ring, shape (count, 24, 12)."""
    random = np.random.default_rng(seed)
    energies = random.uniform(LOWEST, HIGHEST, count)
    parts = [_showers(energies[first : first + TOGETHER], random) for first in range(0, count, TOGETHER)]
    return energies.astype(np.float32), np.concatenate(parts).astype(np.float32)


def _showers(energies, random):
    count = len(energies)
    maximum = (np.log(energies / CRITICAL) - 0.5) * random.normal(1, 0.08, count)
    slope = 0.5 * np.exp(random.normal(0, 0.12, count))  # b of the gamma distribution, (b t)**(a - 1) exp(-b t)
    begin = random.exponential(0.6, count)
    spots = random.poisson(energies * SPOTS)
    shower = np.repeat(np.arange(count), spots)
    depth = begin[shower] + random.standard_gamma((1 + slope * maximum)[shower]) / slope[shower]
    spread = np.exp(random.normal(0, 0.1, count))
    distance = random.exponential(spread[shower] * (0.25 + 0.025 * depth))
    layer, ring = depth.astype(int), (distance / RING).astype(int)
    inside = (layer < LAYERS) & (ring < RINGS)  # the others leave the calorimeter
    cell = (shower * LAYERS + layer) * RINGS + ring
    found = np.bincount(cell[inside], minlength=count * LAYERS * RINGS)
    return found.reshape(count, LAYERS, RINGS) / SPOTS


def histograms(energies, showers):
    """Return for each of QUANTITIES its edges and the histogram, which is 1 in sum.

    layer, ring
        The mean profiles: shares of the energy in each layer, and in each ring.
    response, depth, length, width
        Of single showers: energy in the calorimeter over that of the electron; mean and standard deviation of the
        layer; mean ring.
    """
    energies, showers = np.asarray(energies, float), np.asarray(showers, float)
    total = np.maximum(showers.sum((1, 2)), 1e-9)
    layers, rings = showers.sum(2) / total[:, None], showers.sum(1) / total[:, None]
    depth = layers @ np.arange(LAYERS)
    length = np.sqrt(np.maximum(layers @ np.arange(LAYERS) ** 2 - depth**2, 0))
    values = {
        "response": (total / energies, np.linspace(0.7, 1.2, 101)),
        "depth": (depth, np.linspace(0, LAYERS, 121)),
        "length": (length, np.linspace(0, 10, 101)),
        "width": (rings @ np.arange(RINGS), np.linspace(0, RINGS, 241)),
    }
    found = {"layer": (np.arange(LAYERS + 1.0), layers.mean(0)), "ring": (np.arange(RINGS + 1.0), rings.mean(0))}
    for name, (numbers, edges) in values.items():
        counts, _ = np.histogram(np.clip(numbers, edges[0], edges[-1]), edges)
        found[name] = edges, counts / len(energies)
    return found


def distance(edges, one, other):
    """Return the Wasserstein distance of two histograms with the same edges, over the deviation of the second.

    The distance is the area between the two cumulative distributions. 1 means: so far apart as the values scatter.
    """
    centres = (edges[1:] + edges[:-1]) / 2
    mean = other @ centres / other.sum()
    deviation = np.sqrt(other @ (centres - mean) ** 2 / other.sum())
    apart = np.cumsum(one / one.sum() - other / other.sum())[:-1]
    return float(np.abs(apart) @ np.diff(centres) / deviation)


def distances(showers, reference):
    """Return the distance of each of QUANTITIES between two sets, each given as its histograms."""
    return {name: distance(reference[name][0], showers[name][1], reference[name][1]) for name in QUANTITIES}
