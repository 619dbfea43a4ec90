"""From the start of this process until every slot has finished one fit of scikit-learn.

    python start.py POOL SLOTS MEASURE      prints {MEASURE: seconds, …} as JSON
"""

import importlib
import json
import sys

from clock import age
from fits import fit
from warm import every_slot


def main(name: str, slots: int, measure: str) -> None:
    open_pool = importlib.import_module(f"{name}_pool").open_pool
    imported = age()
    with open_pool(slots) as pool:
        opened = age()
        every_slot(pool, slots, fit)
        seconds = age()
    print(json.dumps({measure: seconds, "imported": imported, "opened": opened}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
