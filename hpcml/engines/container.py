"""Container of a run: built from the options of a Cluster, after a look at what this host and Slurm have."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from hpcml.errors import CommandError, EngineError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.containers import (
    Container,
    apptainer,
    is_file_name,
    mounts,
    own_container,
    pyxis,
    set_own_container,
)
from hpcml.slurm.process import relay_commands, run
from hpcml.slurm.relay import end_with_relay

__all__ = ["ContainerOptions", "enter_container", "make_container", "workers_container"]


class ContainerOptions(Protocol):
    """Options of a Cluster that choose a container; see `hpcml.Cluster`."""

    @property
    def container(self) -> str | None:
        """Image for Apptainer."""

    @property
    def container_image(self) -> str | None:
        """Image for pyxis."""


def workers_container(
    options: ContainerOptions,
    environment: Mapping[str, str],
    allocation: Allocation | None,
    directories: Sequence[str],
) -> Container | None:
    """Return the container that the workers start in; None where they start in none.

    A script in a container of `hpcml run` has its workers in one like it.

    Raises
    ------
    EngineError
        The container cannot be had; the message says what is missing.
    """
    if own_container() is not None or not (options.container or options.container_image):
        return own_container()
    if allocation is None:
        raise EngineError(
            "Cluster(container=…) is for workers on the nodes of a job, and these are on this computer: type "
            f"`hpcml run --container {options.container or 'IMAGE'} script.py` to run the script in the image too"
        )
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"  # pickled functions are of this release
    return make_container(options, environment, allocation, directories, python)


def make_container(
    options: ContainerOptions,
    environment: Mapping[str, str],
    allocation: Allocation | None,
    directories: Sequence[str],
    python: str = "python3",
) -> Container:
    """Return the container that `options` name.

    Parameters
    ----------
    directories
        Directories that the container has to show, beside those for data.
    python
        The interpreter of the image.

    Raises
    ------
    EngineError
        There is no such image, no Apptainer, or no pyxis.
    """
    if options.container_image:
        _check_pyxis(environment)
        return pyxis(options.container_image, mounts(environment, directories), os.getcwd(), python=python)
    image = options.container or ""
    if is_file_name(image) and not os.path.exists(image):
        raise EngineError(f"there is no image {image} in {os.getcwd()}: check its path")
    path = environment.get("PATH")
    program = next((name for name in ("apptainer", "singularity") if shutil.which(name, path=path)), None)
    if program is None:
        raise EngineError(
            "neither apptainer nor singularity is on PATH: `module avail` shows whether a module has it"
        )
    gpus = allocation is not None and any(node.gpus for node in allocation.nodes)
    return apptainer(program, image, mounts({}, directories), os.getcwd(), gpus=gpus, python=python)


def _check_pyxis(environment: Mapping[str, str]) -> None:
    try:
        known = run(["srun", "--help"], environment)
    except CommandError as error:
        raise EngineError(
            f"--container-image is an option of srun's plugin pyxis, and srun fails: {error}"
        ) from error
    if "--container-image" not in known:
        raise EngineError(
            "this Slurm has no pyxis: its srun has no option --container-image. Use Apptainer: --container IMAGE"
        )


def enter_container(inside: Mapping[str, Any]) -> None:
    """Have commands started by the relay outside of this container, and workers in containers like this one.

    Parameters
    ----------
    inside
        ``relay``, the path of the socket, and ``container``, the fields of the `Container`.
    """
    relay_commands(inside["relay"])
    end_with_relay(inside["relay"])
    container = Container.from_json(inside["container"])
    set_own_container(replace(container, python=sys.executable))
