"""The engines that have the same behaviours."""

ENGINES = ("local", "ipyparallel")
