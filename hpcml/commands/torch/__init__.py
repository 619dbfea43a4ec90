"""``hpcml run --engine torch``: the ranks of a training program."""

__all__: list[str] = []
