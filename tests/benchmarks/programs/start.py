"""From the start of this process until every slot has finished one fit of scikit-learn.

    python start.py POOL SLOTS MEASURE      prints {MEASURE: seconds, …} as JSON
"""

import importlib
import json
import sys

from clock import age
from fits import fit

ROUNDS = 100


def main(name: str, slots: int, measure: str) -> None:
    open_pool = importlib.import_module(f"{name}_pool").open_pool
    seen: set[tuple[str, int]] = set()
    imported = age()
    with open_pool(slots) as pool:
        opened = age()
        for _ in range(ROUNDS):
            seen.update(pool.each(fit))
            if len(seen) == slots:
                break
        seconds = age()
    if len(seen) != slots:
        raise RuntimeError(f"{len(seen)} of {slots} slots did a fit in {ROUNDS} rounds")
    print(json.dumps({measure: seconds, "imported": imported, "opened": opened}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
