"""Islands on the ranks of MPI: ``mpiexec -n 3 python ranks.py DIRECTORY``; see test_evolve.py."""

import sys
from pathlib import Path

from mpi4py import MPI
from test_evolve import archipelago, make_creator

make_creator()
found = archipelago(map, "ring", comm=MPI.COMM_WORLD)
Path(sys.argv[1], f"rank-{MPI.COMM_WORLD.rank}").write_text(found)
