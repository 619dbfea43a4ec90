"""Checks of software: versions on the nodes against the driver's, and copies that hide each other."""

from hpcml.commands.doctor.facts import Computer, Facts
from hpcml.commands.doctor.finding import Finding, Severity, fine, grouped

__all__ = ["check_origins", "check_versions"]

_ON_BOTH_SIDES = {"hpcml", "cloudpickle", "ipyparallel", "joblib", "pyzmq"}  # of a message


def check_versions(facts: Facts) -> list[Finding]:
    """Check that each node has the Python and the libraries of the driver."""
    if not facts.nodes:
        return _missing_here(facts.driver)
    fatal: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, computer in facts.computers.items():
        differences = _differences(computer, facts.driver)
        if differences:
            heavy = any(library in _ON_BOTH_SIDES or library == "python" for library in differences)
            (fatal if heavy else others)[name] = ", ".join(differences.values())
    type_ = (
        "python -c 'import sys; print(sys.path)'   (there and here)\nand use one environment that all nodes "
        "share; unset PYTHONPATH if it names directories of a single node"
    )
    why = "this host and its workers exchange pickles and messages of these libraries"
    found = grouped(Severity.WILL_FAIL, "versions", fatal, why, type_)
    why = "results may differ from node to node, and pickles may not load"
    found += grouped(Severity.SLOW, "versions", others, why, type_)
    return found or fine("versions", f"Python {facts.driver.python} and all libraries are the same on every node")


def _differences(computer: Computer, driver: Computer) -> dict[str, str]:
    found = {}
    if computer.python.rpartition(".")[0] != driver.python.rpartition(".")[0]:
        found["python"] = f"Python {computer.python} (here {driver.python})"
    for name in sorted({*computer.versions, *driver.versions}):
        there, here = computer.versions.get(name, "none"), driver.versions.get(name, "none")
        if there != here:
            found[name] = f"{name} {there} (here {here})"
    return found


def _missing_here(driver: Computer) -> list[Finding]:
    shown = [f"{name} {driver.versions[name]}" for name in ("hpcml", "joblib", "numpy") if name in driver.versions]
    return fine("versions", ", ".join([f"Python {driver.python}", *shown]))


def check_origins(facts: Facts) -> list[Finding]:
    """Check that Python imports each library from its installation, not from another copy on its path."""
    computers = {facts.driver.name: facts.driver, **facts.computers}
    hidden = {}
    for name, computer in computers.items():
        if computer.origins:
            hidden[name] = ", ".join(f"{library} comes from {file}" for library, file in computer.origins.items())
    return grouped(
        Severity.SLOW,
        "copies of libraries",
        hidden,
        "another copy comes first on Python's path, so its version is not the one that pip shows",
        "unset PYTHONPATH, or remove that copy (python -m pip uninstall --user, or a file of that name)",
    )
