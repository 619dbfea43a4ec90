"""Engines that run the contract tests."""

ENGINES = ("local", "ipyparallel", "mpi")
