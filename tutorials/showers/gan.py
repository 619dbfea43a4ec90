"""A generative adversarial network that makes showers, trained on all ranks of `hpcml run --engine torch`.

Each rank simulates its part of the events, and trains on it; the steps are those of all ranks together.
"""

import argparse
import inspect
import json
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.distributed as dist
from showers import HIGHEST, LAYERS, LOWEST, RINGS, SPOTS, distances, histograms, simulate
from tabulate import tabulate
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.parametrizations import spectral_norm

from hpcml.training import DataParallel, shard

CELLS = LAYERS * RINGS
NOISE = 32  # random numbers that a shower is made from
PARTS, IN_PART = 12, 1024  # of the events, so that they are the same on any number of ranks
BLUR = 0.3  # in standard deviations of Poisson's law: hides from the critic that spots are counted
REFERENCE = 4000  # events that the generator is compared with


@dataclass(frozen=True)
class Settings:
    """Settings of a training; `batch` is that of all ranks together."""

    epochs: int = 60
    batch: int = 768
    rate: float = 1e-3
    generator_rate: float = 1e-3
    width: int = 192
    blur: float = BLUR


class Generator(nn.Module):
    """Roots of the shares of the energy in each cell, made from noise and the energy of the electron."""

    def __init__(self, width):
        super().__init__()
        first = nn.Sequential(nn.Linear(NOISE + 1, width), nn.LeakyReLU(0.2), nn.LayerNorm(width))
        second = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.LayerNorm(width))
        self.layers = nn.Sequential(first, second, nn.Linear(width, CELLS + 1))

    def forward(self, noise, energies):
        out = self.layers(torch.cat([noise, scaled(energies)], 1))
        response = (1 + 0.1 * out[:, :1]).clamp_min(0.1)
        return (out[:, 1:].softmax(1) * response + 1e-10).sqrt()


class Critic(nn.Module):
    """A number for each shower, which is high for those of the simulation. It looks at profiles and means too."""

    def __init__(self, width):
        super().__init__()
        sizes = [CELLS + LAYERS + RINGS + 4, width, width, 1]
        first, *others = (spectral_norm(nn.Linear(*pair)) for pair in pairwise(sizes))
        self.layers = nn.Sequential(first, *(part for one in others for part in (nn.LeakyReLU(0.2), one)))
        self.register_buffer("depths", torch.arange(LAYERS) - 10.0)
        self.register_buffer("distances", torch.arange(RINGS) - 1.5)

    def forward(self, roots, energies):
        cells = roots.square().view(-1, LAYERS, RINGS)
        layers, rings = cells.sum(2), cells.sum(1)
        means = [(layers.sum(1) - 1) * 40, layers @ self.depths, 4 * (rings @ self.distances)]
        known = [10 * roots, 10 * layers, 5 * rings, torch.stack(means, 1), scaled(energies)]
        return self.layers(torch.cat(known, 1)).squeeze(1)


def scaled(energies):
    """Return energies as a column of numbers of about 1."""
    return ((energies - (LOWEST + HIGHEST) / 2) / (HIGHEST - LOWEST) * 4)[:, None]


def events_of(rank, size):
    """Return the events of a rank: energies, and roots of the shares of the energy in each cell."""
    parts = [simulate(IN_PART, [1, part]) for part in range(PARTS)[shard(PARTS, rank, size)]]
    energies = torch.cat([torch.from_numpy(one) for one, _ in parts])
    showers = torch.cat([torch.from_numpy(one) for _, one in parts])
    return energies, (showers.flatten(1) / energies[:, None]).sqrt()


class Draws:
    """Random numbers of a rank, and its share of each batch."""

    def __init__(self, events, settings, rank, size):
        self.events = events
        self.random = torch.Generator().manual_seed(1000 + rank)
        self.share = len(range(settings.batch)[shard(settings.batch, rank, size)])
        self.steps = PARTS * IN_PART // settings.batch
        self.blur = settings.blur

    def batches(self):
        """Yield energies and showers of this rank's share of each batch of an epoch."""
        energies, roots = self.events
        for _ in range(self.steps):
            rows = torch.randint(len(energies), (self.share,), generator=self.random)
            yield energies[rows], self.blurred(roots[rows], energies[rows])

    def noise(self):
        return torch.randn(self.share, NOISE, generator=self.random)

    def blurred(self, roots, energies):
        """Add noise to simulated and generated showers, in which the steps of single spots vanish."""
        noise = torch.randn(roots.shape, generator=self.random)
        return roots + self.blur * noise / (energies * SPOTS).sqrt()[:, None]


def critic_loss(real, fake):
    """Return the hinge loss of the critic's numbers."""
    return (torch.relu(1 - real) + torch.relu(1 + fake)).mean()


def optimizers(generator, critic, settings):
    """Return an optimizer for each network, and a function that lowers their rates after an epoch."""
    pairs = (generator, settings.generator_rate), (critic, settings.rate)
    found = [torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.9)) for network, rate in pairs]
    last = settings.epochs
    lower = [torch.optim.lr_scheduler.LambdaLR(one, lambda done: max(1 - done / last, 0.02)) for one in found]
    return *found, lambda: [one.step() for one in lower]


def train_built_in(generator, critic, events, settings):
    """Train by torch's DistributedDataParallel; yield the seconds of each epoch."""
    draws = Draws(events, settings, dist.get_rank(), dist.get_world_size())
    of_generator, of_critic, lower_rates = optimizers(generator, critic, settings)
    parallel_generator = DistributedDataParallel(generator)
    parallel_critic = DistributedDataParallel(critic)
    for _ in range(settings.epochs):
        began = time.perf_counter()
        for energies, real in draws.batches():
            with torch.no_grad():
                fake = draws.blurred(generator(draws.noise(), energies), energies)
            judged = parallel_critic(torch.cat([real, fake]), energies.repeat(2))
            of_critic.zero_grad()
            critic_loss(*judged.chunk(2)).backward()
            of_critic.step()
            critic.requires_grad_(False)  # its gradients would be summed over the ranks too
            fake = draws.blurred(parallel_generator(draws.noise(), energies), energies)
            of_generator.zero_grad()
            (-critic(fake, energies).mean()).backward()
            of_generator.step()
            critic.requires_grad_(True)
        lower_rates()
        yield time.perf_counter() - began


def train_own(generator, critic, events, settings, group=None):
    """Train by sums of gradients over a group of ranks, in one flat tensor; yield the seconds of each epoch."""
    parallel = DataParallel(group)
    draws = Draws(events, settings, parallel.rank, parallel.size)
    of_generator, of_critic, lower_rates = optimizers(generator, critic, settings)
    parallel.copy_first(generator)
    parallel.copy_first(critic)
    for _ in range(settings.epochs):
        began = time.perf_counter()
        for energies, real in draws.batches():
            with torch.no_grad():
                fake = draws.blurred(generator(draws.noise(), energies), energies)
            judged = critic(torch.cat([real, fake]), energies.repeat(2))
            of_critic.zero_grad()
            critic_loss(*judged.chunk(2)).backward()
            parallel.average_gradients(critic, draws.share)
            of_critic.step()
            critic.requires_grad_(False)  # saves their computation
            fake = draws.blurred(generator(draws.noise(), energies), energies)
            of_generator.zero_grad()
            (-critic(fake, energies).mean()).backward()
            parallel.average_gradients(generator, draws.share)
            of_generator.step()
            critic.requires_grad_(True)
        lower_rates()
        yield time.perf_counter() - began


def networks(settings):
    """Return a generator and a critic, the same on all ranks."""
    torch.manual_seed(0)
    return Generator(settings.width), Critic(settings.width)


def quality(generator, count=REFERENCE):
    """Return the distances of generated showers from simulated ones, and their mean."""
    energies, showers = simulate(count, 2)
    with torch.no_grad():
        given = torch.from_numpy(energies)
        noise = torch.randn(count, NOISE, generator=torch.Generator().manual_seed(3))
        made = generator(noise, given).square() * given[:, None]
    spots = (made * SPOTS).round() / SPOTS
    generated = histograms(energies, spots.view(-1, LAYERS, RINGS).numpy())
    found = distances(generated, histograms(energies, showers))
    return sum(found.values()) / len(found), found


LOOPS = {"built-in": train_built_in, "own": train_own}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loop", choices=LOOPS, default="own", help="built-in is torch's DistributedDataParallel")
    parser.add_argument("--epochs", type=int, default=Settings.epochs, help="2 or more: the first is not timed")
    parser.add_argument("--quick", action="store_true", help="three epochs")
    parser.add_argument("--results", type=Path, default=Path("results"), help="directory of the table")
    arguments = parser.parse_args()
    settings = Settings(epochs=3 if arguments.quick else arguments.epochs)
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    events = events_of(rank, size)
    generator, critic = networks(settings)
    train = LOOPS[arguments.loop]
    began = time.process_time()
    seconds = list(train(generator, critic, events, settings))
    processor = (time.process_time() - began) / len(seconds)
    median = statistics.median(seconds[1:])  # the first epoch warms up
    if rank == 0:
        mean, found = quality(generator)
        lines = len(inspect.getsource(train).splitlines())
        row = {"loop": arguments.loop, "ranks": size, "seconds": median, "processor": processor}
        row |= {"quality": mean, "lines": lines}
        print("  ".join(f"{name} {value:.3f}" for name, value in found.items()))
        print(f"time per epoch {median:.4f} s, quality {mean:.4f}")
        print(table(arguments.results, row))
    dist.destroy_process_group()


def table(directory, row):
    """Record the row of a run, and return the table of all runs there.

    All times are of an epoch. Processor time is that of rank 0; the rest of the time it waits, for the other ranks
    or for a processor.
    """
    directory.mkdir(parents=True, exist_ok=True)
    Path(directory, f"{row['loop']}-{row['ranks']}.json").write_text(json.dumps(row))
    rows = [json.loads(path.read_text()) for path in sorted(directory.glob("*-*.json"))]
    alone = {one["loop"]: one["seconds"] for one in rows if one["ranks"] == 1}
    for one in rows:
        one["speed-up"] = alone[one["loop"]] / one["seconds"] if one["loop"] in alone else None
    names = ("loop", "ranks", "seconds", "processor", "speed-up", "quality", "lines")
    return tabulate([[one[name] for name in names] for one in rows], names, floatfmt=".3f")


if __name__ == "__main__":
    main()
