"""A notebook in JupyterLab, in headless Chromium: the displays are where their cells are, and change there.

Run with ``make test-notebook``; needs playwright, and Chromium as Debian has it.
"""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from patience import patient, wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
TOKEN = "of-this-computer-alone"
CELLS = (
    "import hpcml, time\ncluster = hpcml.Cluster(engine='local', slots_per_node=2)\ncluster",
    "futures = [cluster.submit(time.sleep, 0.3) for _ in range(20)]",
    "list(cluster.map(time.sleep, [600] * 4))",
)


@pytest.fixture
def url(tmp_path):
    """Address of a JupyterLab whose first notebook has the cells."""
    cells = [nbformat.v4.new_code_cell(code) for code in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "a.ipynb")
    options = ["--no-browser", "--allow-root", "--ServerApp.port=0", "--LabApp.expose_app_in_browser=True"]
    own = {"HOME": str(tmp_path), "JUPYTER_TOKEN": TOKEN, "JUPYTER_RUNTIME_DIR": f"{tmp_path}/run"}
    command = [sys.executable, "-m", "jupyterlab", *options]
    with (
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **own}, stdout=log, stderr=log) as server,
    ):
        try:
            wait_until(lambda: list((tmp_path / "run").glob("jpserver-*.json")))
            (about,) = (tmp_path / "run").glob("jpserver-*.json")
            yield f"http://127.0.0.1:{json.loads(about.read_text())['port']}/lab/tree/a.ipynb?token={TOKEN}"
        finally:
            server.terminate()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")
def test_displays_are_in_their_cells_and_change_there(url, tmp_path):
    with (
        playwright.sync_playwright() as api,
        api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.set_default_timeout(patient(60_000))
        page.goto(url)
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_selector("text=/ipykernel.*Idle/")
        command(page, "notebook:run-all-cells")
        opened, submitted, mapped = (page.locator(".jp-Notebook .jp-Cell").nth(n) for n in range(3))
        mapped.locator("progress").wait_for()
        opened.locator("text=queued").wait_for()
        submitted.locator("text=20 of 20 tasks").wait_for()
        opened.locator("text=20 done").wait_for()
        mapped.locator("text=0 of 4 tasks").wait_for()
        page.screenshot(path=tmp_path / "page.png")


def command(page, name):
    """Run a command of JupyterLab, as its menus do."""
    page.evaluate("name => {window.jupyterapp.commands.execute(name)}", name)
