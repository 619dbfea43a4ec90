"""``hpcml jupyter``: JupyterLab in a job, from its submission to its address in the user's browser."""

__all__: list[str] = []
