"""Age of this process: a user's wait includes the start of the interpreter and its imports."""

import os
import time
from pathlib import Path

STARTTIME = 19  # field 22 of /proc/PID/stat, counted after the command, which may hold spaces; proc(5)


def age() -> float:
    """Return the seconds since the kernel started this process, to a hundredth."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[STARTTIME]) / os.sysconf("SC_CLK_TCK")
