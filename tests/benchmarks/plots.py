"""Plots that read well on a light and on a dark page, the same bytes for the same numbers."""

from pathlib import Path
from typing import Any

from tests.benchmarks.result import Bars

GREY = "#808080"
COLOURS = ("#7f8c9b", "#2f81f7", "#d29922", "#db61a2", "#3fb950")
STYLE: Any = {
    "svg.hashsalt": "triptych",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), GREY),
}


def draw(bars: Bars, path: Path) -> None:
    """Write the plot as SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
        _fill(axes, bars)
        # Without a date the file changes only when the numbers do.
        figure.savefig(path, transparent=True, metadata={"Date": None})
        pyplot.close(figure)


def _fill(axes: Any, bars: Bars) -> None:
    width = 0.8 / len(bars.series)
    for number, (name, values) in enumerate(bars.series.items()):
        offset = (number - (len(bars.series) - 1) / 2) * width
        places = [group + offset for group in range(len(values))]
        drawn = axes.bar(places, values, width * 0.92, label=name, color=COLOURS[number % len(COLOURS)])
        axes.bar_label(drawn, labels=list(map(_label, values)), fontsize=7, padding=1)
    axes.set_xticks(range(len(bars.groups)), bars.groups)
    axes.set_ylabel(bars.axis)
    axes.set_title(bars.title)
    if len(bars.series) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(bars.series), frameon=False)


def _label(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
