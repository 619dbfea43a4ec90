"""Opens a Cluster, writes a file, and keeps every slot busy for ten minutes."""

import sys
import time
from pathlib import Path

import hpcml

with hpcml.Cluster() as cluster:
    futures = [cluster.submit(time.sleep, 600) for _ in range(2 * cluster.slots)]
    time.sleep(0.5)
    Path(sys.argv[1]).write_text("busy")
    for future in futures:
        future.result()
