"""Program of the group's: prints the mean of a simulation, whose seed is its argument."""

import json
import sys

import numpy as np

numbers = np.random.default_rng(int(sys.argv[1])).exponential(size=100_000)
print(json.dumps({"mean": float(numbers.mean()), "environment": sys.prefix}))
