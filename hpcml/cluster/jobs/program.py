"""Program of a job: ``python -m hpcml.cluster.jobs.program FOLDER`` runs what `hpcml.submit` has put there."""

import os
import sys
from pathlib import Path

from hpcml.cluster.jobs.array_folder import ArrayFolder
from hpcml.cluster.jobs.element import run_element
from hpcml.cluster.jobs.folder import JobFolder, data_directory
from hpcml.cluster.jobs.local import note_this_process

__all__ = ["main"]


def main(folder: Path) -> int:
    """Run the call, or an element of the array, that a folder has; return the exit status."""
    place = JobFolder(folder)
    place.check()
    data_directory(folder.parent)  # checks it
    job = os.environ.get("SLURM_JOB_ID") or note_this_process(place)
    _help_submitit(place, job)
    array = ArrayFolder(folder)
    if array.plan() is None:
        from hpcml.cluster.jobs.one_call import run_call

        return run_call(place, os.environ)
    element = "_".join(filter(None, (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))))
    run_element(array, job, element or job, os.environ)
    return 0


def _help_submitit(folder: JobFolder, job: str) -> None:
    """Set what submitit.JobEnvironment() reads, in functions that were written for submitit."""
    os.environ["SUBMITIT_EXECUTOR"] = "slurm" if "SLURM_JOB_ID" in os.environ else "local"
    os.environ["SUBMITIT_FOLDER"] = str(folder.path)
    os.environ["SUBMITIT_LOCAL_JOB_ID"] = job


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
