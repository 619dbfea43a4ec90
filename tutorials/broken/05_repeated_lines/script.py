"""Broken job 5: prime numbers, counted by a pool of processes."""

import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

FAULT = ""  # the word for the fault, see README.rst


def count_primes(first, last):
    """Return the number of primes from first to last, and the process that has counted them."""
    found = sum(all(number % part for part in range(2, int(number**0.5) + 1)) for number in range(first, last + 1))
    return found, os.getpid()


size = 20_000 if "--quick" in sys.argv else 400_000
print(f"primes up to {10 * size}", flush=True)
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
    firsts = range(2, 10 * size, size)
    found = list(pool.map(count_primes, firsts, [first + size - 1 for first in firsts]))
results = {
    "fault": FAULT,
    "primes": [count for count, _ in found],
    "processes": len({process for _, process in found}),
}
Path("results").mkdir(exist_ok=True)
Path("results/broken-05.json").write_text(json.dumps(results, indent=1))
print(f"{sum(results['primes'])} primes")
