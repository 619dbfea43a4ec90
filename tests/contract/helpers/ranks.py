"""Islands on the ranks of MPI: ``mpiexec -n 3 python ranks.py DIRECTORY``; see test_islands.py."""

import sys
from pathlib import Path

from evolution import make_creator
from evolving import archipelago
from mpi4py import MPI

make_creator()
found = archipelago(map, "ring", comm=MPI.COMM_WORLD)
Path(sys.argv[1], f"rank-{MPI.COMM_WORLD.rank}").write_text(found)
