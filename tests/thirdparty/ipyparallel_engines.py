"""Plugin of pytest for ipyparallel's own tests: their cluster is the one that `hpcml run` has opened.

`ipyparallel_tests.py` starts them. Their functions that start and stop a cluster do nothing here. The engines show
tracebacks without colours, as the tests' own engines do.
"""

from ipyparallel import Client, error, tests

__all__: list[str] = []

ENGINES = 4


def _set_up() -> None:
    error.RemoteError = tests.RemoteErrorWithTB


def _use_engines(n: int = 1, profile: str = "iptest", total: bool = False) -> list[object]:
    """Wait until all engines are there: those that a test has killed are replaced."""
    with Client(profile=profile) as client:
        client.wait_for_engines(ENGINES, timeout=20)
        client[:].execute("get_ipython().run_line_magic('colors', 'nocolor')", block=True)
    return []


tests.setup = _set_up
tests.teardown = lambda: None
tests.add_engines = _use_engines
