"""Leases of other drivers, for the tests of leases."""

import dataclasses
import json

from hpcml.journal.lease import this_process


def unknown(job):
    return None


def ended(job):
    return True


def running(job):
    return False


ME = this_process()
OTHER = dataclasses.replace(ME, host="n2", boot="another boot", pids="pid:[1]", pid=42, started=7)


def write_lease(directory, holder, number=1):
    """Write the lease of a holder that has ended without releasing it."""
    path = directory / f"lease-{number}"
    path.write_text(json.dumps(dataclasses.asdict(holder)))
    path.chmod(0o600)
