"""Containers: the words before a program that runs in one, by Apptainer, or the options of srun, by pyxis.

Facts: apptainer-exec(1); https://github.com/NVIDIA/pyxis#usage. Apptainer shows the home directory, ``/tmp`` and
``/dev``, with ``/dev/shm``, as they are outside. A site's apptainer.conf, or APPTAINER_CONTAIN=1, may leave them
out; of these, ``--bind`` shows all but ``/dev/shm``. pyxis shows only what is mounted.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hpcml.errors import HpcmlError

__all__ = ["Container", "apptainer", "is_file_name", "mounts", "own_container", "pyxis", "set_own_container"]

_SHOWN = "/dev"  # by Apptainer
# Each node has its own directories for data. Apptainer fails where a directory to show does not exist, and warns
# where one is shown twice.
_EXECUTE = """for _one in "$SLURM_TMPDIR" "$TMPDIR"; do
    case " $* " in *" --bind $_one "*) continue ;; esac
    case $_one/ in /dev/* | /tmp/* | *[:,]*) continue ;; esac
    [ ! -d "$_one" ] || set -- --bind "$_one" "$@"
done
exec "$0" exec "$@"
"""
_URI = re.compile(r"[a-z][a-z0-9+-]*:")  # docker://python:3.12


@dataclass(frozen=True)
class Container:
    """Container of the programs on the nodes.

    Parameters
    ----------
    command
        Words before a program.
    step_options
        Options of srun.
    python
        The interpreter of the image.
    """

    command: tuple[str, ...] = ()
    step_options: tuple[str, ...] = ()
    python: str = "python3"

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the container whose fields are `fields`, with lists in place of tuples."""
        return cls(tuple(fields["command"]), tuple(fields["step_options"]), fields["python"])


def apptainer(
    program: str, image: str, directories: Sequence[str], directory: str, *, gpus: bool, python: str = "python3"
) -> Container:
    """Return the container of an image of Apptainer.

    Of the directories for data on a node, the container shows those that the node has.

    Parameters
    ----------
    program
        ``apptainer``, or ``singularity``, whose command line is the same.
    image
        A file, a directory or a URI.
    directories
        Directories that the container has to show, on every node.
    directory
        Working directory.

    Examples
    --------
    >>> from hpcml.slurm.containers import apptainer
    >>> found = apptainer("apptainer", "/images/ml.sif", ["/tmp", "/scratch/me"], "/scratch/me", gpus=True)
    >>> " ".join(found.command[3:])
    'apptainer --nv --bind /tmp --bind /scratch/me --pwd /scratch/me /images/ml.sif'
    """
    hidden = [one for one in directories if not f"{one}/".startswith(f"{_SHOWN}/")]
    words = [word for one in hidden for word in ("--bind", one)]
    command = ("sh", "-c", _EXECUTE, program, *(["--nv"] if gpus else []), *words, "--pwd", directory)
    place = os.path.abspath(image) if is_file_name(image) else image
    return Container(command=(*command, place), python=python)


def pyxis(image: str, directories: Sequence[str], directory: str, *, python: str = "python3") -> Container:
    """Return the container of an image of pyxis; see `apptainer`.

    Examples
    --------
    >>> from hpcml.slurm.containers import pyxis
    >>> pyxis("nvcr.io#nvidia/pytorch:24.01-py3", ["/tmp", "/work"], "/work").step_options[1:]
    ('--container-mounts=/tmp:/tmp,/work:/work', '--container-workdir=/work')
    """
    mounted = ",".join(f"{one}:{one}" for one in directories)
    options = (f"--container-image={image}", f"--container-mounts={mounted}", f"--container-workdir={directory}")
    return Container(step_options=options, python=python)


def is_file_name(image: str) -> bool:
    """Return whether an image of Apptainer is a file or directory, and no URI.

    Examples
    --------
    >>> from hpcml.slurm.containers import is_file_name
    >>> is_file_name("ml.sif"), is_file_name("docker://python:3.12")
    (True, False)
    """
    return not _URI.match(image)


def mounts(environment: Mapping[str, str], others: Sequence[str]) -> tuple[str, ...]:
    """Return the directories that a container has to show: those for data on a node, and `others`.

    Of two directories, one inside the other, only the outer one is returned.

    Raises
    ------
    HpcmlError
        A directory has a name that cannot be written on the command lines of containers.
    """
    named = (environment.get("SLURM_TMPDIR", ""), environment.get("TMPDIR", ""))
    wanted = ["/dev/shm", "/tmp", *(one for one in named if os.path.isdir(one)), *others]
    found = list(dict.fromkeys(os.path.abspath(one) for one in wanted))
    for one in found:
        if re.search(r"[:,]", one):
            raise HpcmlError(f"a container cannot show the directory {one}: its name has a colon or a comma")
    return tuple(one for one in found if not any(one != outer and one.startswith(f"{outer}/") for outer in found))


_own: list[Container] = []


def set_own_container(container: Container) -> None:
    """Note that this process runs in `container`: its workers run in one like it."""
    _own[:] = [container]


def own_container() -> Container | None:
    """Return the container that this process runs in; None outside of the containers of `hpcml run`."""
    return _own[0] if _own else None
