"""Representations of a Cluster: text, HTML, and in a notebook a display that is kept up to date."""

from typing import TYPE_CHECKING, Any

from hpcml.cluster.notebook.facts import facts_of
from hpcml.cluster.notebook.interactive import bundle_of
from hpcml.cluster.notebook.pages import as_html, as_line

if TYPE_CHECKING:
    from hpcml.cluster.notebook.facts import ClusterFacts
    from hpcml.cluster.session import Session

__all__ = ["Shown"]


class Shown:
    """Object that shows the state of a session: slots of each host, jobs, tasks, time left."""

    _session: "Session"
    _closed: bool

    def _facts(self) -> "ClusterFacts":
        return facts_of(self._session, self._closed)

    def __repr__(self) -> str:
        return as_line(self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._facts())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return dict(bundle_of(self._facts()))

    def _ipython_display_(self) -> None:
        """Show a display that is kept up to date; outside of a notebook, leave the other forms to IPython."""
        if not self._session.interactive.show(self._facts):
            raise NotImplementedError  # by which a method says so (IPython.core.formatters)
