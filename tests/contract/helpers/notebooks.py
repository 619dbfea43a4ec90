"""Notebooks, executed cell by cell in a kernel of their own, as nbclient and papermill execute them."""

import contextlib
import os
import signal
import tempfile
import threading
from contextlib import contextmanager

import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from patience import patient, wait_until


@contextmanager
def opened(directory, **variables):
    """Yield a notebook in a directory; its kernel has environment variables, and ends as front ends end one."""
    with tempfile.TemporaryDirectory(prefix="nb") as sockets:  # the path of a socket must be short
        notebook = Notebook(directory, sockets)
        with notebook.client.setup_kernel(env={**os.environ, **variables}, cleanup_kc=True):
            yield notebook


class Notebook:
    """A notebook that grows: `run` executes a new cell at its end."""

    def __init__(self, directory, sockets):
        self.cells = nbformat.v4.new_notebook()
        self.client = NotebookClient(
            self.cells,
            km=AsyncKernelManager(transport="ipc", ip=f"{sockets}/kernel"),
            timeout=int(patient(60)),
            resources={"metadata": {"path": str(directory)}},
        )

    @property
    def kernel_id(self):
        """Process id of the kernel."""
        return self.client.km.provisioner.pid

    def restart(self):
        """Restart the kernel, as front ends do; the kernel may take a few seconds to end by itself."""
        run_sync(self.client.km.restart_kernel)()
        run_sync(self.client.kc.wait_for_ready)(timeout=patient(60))

    def run(self, code, interrupt=None):
        """Execute `code` in a new cell, and return the cell; when `interrupt` is true, "stop" is pressed."""
        cell = nbformat.v4.new_code_cell(code)
        self.cells.cells.append(cell)
        if interrupt is not None:
            threading.Thread(target=self._interrupt, args=(interrupt,)).start()
        with contextlib.suppress(CellExecutionError):
            self.client.execute_cell(cell, len(self.cells.cells) - 1)
        return cell

    def _interrupt(self, when):
        wait_until(when)
        os.killpg(self.client.km.provisioner.pgid, signal.SIGINT)  # as jupyter_client does


def printed(cell, name="stdout"):
    """Return the text of a stream."""
    return "".join(one.text for one in cell.outputs if one.output_type == "stream" and one.name == name)


def displays(cell, kind="text/plain"):
    """Return the contents of the displays of a cell."""
    return [one.data[kind] for one in cell.outputs if one.output_type == "display_data"]


def error(cell):
    """Return the name of the exception that ended a cell; None where it ended well."""
    return next((one.ename for one in cell.outputs if one.output_type == "error"), None)


def value(cell):
    """Return the representation of a cell's last value."""
    results = [one.data["text/plain"] for one in cell.outputs if one.output_type == "execute_result"]
    assert results, cell.outputs
    return results[0]
