"""Reference search of the fault tests, run on a cluster; its ledger is the file that its fits write.

180 fits of 0.2 s. The expected scores are scikit-learn's own, from one process. `Calls` are as many calls by
joblib alone, for tests in which scikit-learn has no part: the workers start in a fraction of the time.
"""

import json
import pickle
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from patience import patient

PROGRAMS = Path(__file__).parent / "programs"
FITS = 180
SLOTS = 12


def assert_equal(results, expected, but=()):
    """Check that all columns but the times are equal to the last bit, without the rows `but`."""
    assert results.keys() == expected.keys()
    for name, values in expected.items():
        if "time" not in name:
            for row, (found, wanted) in enumerate(zip(results[name], values, strict=True)):
                if row not in but and not (but and name.startswith("rank")):
                    assert found == wanted, (name, row)


def send(cluster, host, pid, number):
    """Send a signal to a process, which has its node's process id."""
    command = cluster.node_command(host, ["kill", f"-{int(number)}", str(pid)])
    subprocess.run(command, check=True, timeout=patient(10))


class Search:
    """Search with its ledger; ``process`` is the process on the login node."""

    program = PROGRAMS / "counted.py"

    def __init__(self, cluster, seconds=0.2, harm="", below=0.0, **options):
        self.cluster = cluster
        self.process = None
        self.ledger = cluster.shared_dir / "ledger"
        self.out = cluster.shared_dir / "out"
        self.options = {
            "ledger": str(self.ledger),
            "out": str(self.out),
            "seconds": seconds,
            "harm": harm,
            "below": below,
            "cluster": {"progress": False, "timeout": patient(60), **options},
        }

    @classmethod
    def one_process(cls, out):
        """Return the results of the program by scikit-learn, or joblib, alone: ``cv_results_`` of the search."""
        words = [sys.executable, cls.program, json.dumps({"out": str(out)})]
        subprocess.run(words, check=True, timeout=patient(120))
        return pickle.loads(out.read_bytes())

    @property
    def command(self):
        return [self.cluster.python, self.program, json.dumps(self.options)]

    def start(self, *salloc):
        """Start the search in an allocation of three nodes with four slots each, the driver on the login node."""
        self.process = self.cluster.popen(["salloc", "-Q", "-N3", "--ntasks-per-node=4", *salloc, *self.command])
        return self

    def events(self, kind):
        """Return the lines of the ledger: (fit, host, process id, time)."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        found = [line.split() for line in lines if line.startswith(kind)]
        return [(fit, *worker.split(":"), float(when)) for _, fit, worker, when in found]

    def wait_ended(self, fits, timeout=60.0):
        """Wait until so many fits have ended."""
        end = time.monotonic() + patient(timeout)
        while len(self.events("end")) < fits:
            assert time.monotonic() < end, self.events("end")[-5:]
            assert self.process is None or self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)

    def running(self):
        """Return the (host, process id) of fits that have begun and not ended, the latest first."""
        ended = {event[:3] for event in self.events("end")}
        return [event[1:3] for event in reversed(self.events("begin")) if event[:3] not in ended]

    def finish(self, name, timeout=90.0):
        """Wait for the end, print the ledger, and return the search's results."""
        _, self.errors = self.process.communicate(timeout=patient(timeout))
        assert self.process.returncode == 0, self.errors[-3000:]
        return self.results(name)

    def results(self, name):
        """Print the ledger and return the search's results."""
        self.count(name)
        return pickle.loads(self.out.read_bytes())

    def count(self, name):
        """Count the fits that were lost and repeated."""
        begun, ended = Counter(e[0] for e in self.events("begin")), Counter(e[0] for e in self.events("end"))
        times = [event[-1] for event in (*self.events("begin"), *self.events("end"))]
        self.lost = FITS - len(ended)
        self.repeated = sum(begun.values()) - len(begun)
        print(
            f"\n{name}: {sum(begun.values())} executions of {len(begun)} fits, most {max(begun.values())}, "
            f"lost {self.lost}, repeated {self.repeated}, wall {max(times) - min(times):.1f} s"
        )

    def repeats(self, after=0.0):
        """Return the beginnings, after some time, of fits that began more than once."""
        counts = Counter(event[0] for event in self.events("begin"))
        return [event for event in self.events("begin") if counts[event[0]] > 1 and event[-1] > after]


class Calls(Search):
    """Calls by joblib alone, with their ledger."""

    program = PROGRAMS / "counted_calls.py"
