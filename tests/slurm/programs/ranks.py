"""Rank that finds the others by rank_env alone: python ranks.py SECONDS

The ranks meet as those of env_ranks.py, and give up after so many seconds.
"""

import sys

from env_ranks import meet

from hpcml.training import rank_env

if __name__ == "__main__":
    seconds = float(sys.argv[1])
    meet(rank_env(timeout=seconds), seconds)
