"""Picture of a study: time, speed-up and efficiency against the slots."""

from pathlib import Path

from hpcml.commands.scaling.study import Study

__all__ = ["draw"]

CURVE_POINTS = 100


def draw(study: Study, title: str, path: Path) -> None:
    """Draw the three panels of a study into a file; its lines differ in shape, and so in grey as well.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hpcml.commands.scaling.picture import draw
    >>> from hpcml.commands.scaling.study import Measured, make_study
    >>> runs = [Measured(slots, 1, 1 / slots, 1, 2, slots, 8, 1) for slots in (1, 2, 4)]
    >>> with tempfile.TemporaryDirectory() as place:
    ...     draw(make_study(runs), "fit.py", Path(place, "scaling.svg"))
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    time, speedup, efficiency = figure.subplots(1, 3)
    figure.suptitle(title)
    slots = [point.slots for point in study.points]
    base = slots[0]
    curve = [slots[0] + (slots[-1] - slots[0]) * number / CURVE_POINTS for number in range(CURVE_POINTS + 1)]
    seconds = [point.seconds for point in study.points]
    spread = [[p.seconds - p.lowest for p in study.points], [p.highest - p.seconds for p in study.points]]
    time.errorbar(slots, seconds, spread, fmt="ko", capsize=3, label="median and range")
    speedup.plot(slots, [point.speedup for point in study.points], "ko", label="measured")
    speedup.plot(curve, curve if base == 1 else [one / base for one in curve], "k:", label="ideal")
    efficiency.plot(slots, [point.efficiency for point in study.points], "ko-", label="measured")
    efficiency.axhline(1.0, color="k", linestyle=":", label="ideal")
    laws = (("Amdahl", study.amdahl, "-"), ("USL", study.usl, "--"))
    for name, law, line in laws:
        if law is not None:
            fitted = [law.seconds(one) for one in curve]
            time.plot(curve, fitted, f"k{line}", label=name)
            speedup.plot(curve, [law.seconds(base) / one for one in fitted], f"k{line}", label=name)
    labels = ("time (s), without the start", "scaled speed-up" if study.is_weak else "speed-up", "efficiency")
    for axes, label in zip((time, speedup, efficiency), labels, strict=True):
        axes.set(xlabel="slots", ylabel=label, xticks=slots)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=150)
