"""Learning curves: has every system converged?

In: Dice at epochs, of every run. Out: one PNG.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfpartial.reporting.panels import save_figure

Points = Sequence[tuple[float, float]]


def write_learning_curves(path: Path, curves: Mapping[str, Points]) -> None:
    """Write a PNG with a line per system.

    An epoch that occurs several times (one point per seed) is drawn as the
    mean; the band reaches from the lowest to the highest seed.

    Args:
        path: ends in .png; its folder is made; written whole or not at all.
        curves: system -> (epoch, Dice in [0, 1]), in any order; NaN is left
            out. Seeds of a system are one list: `[*seed_0, *seed_1]`.

    Raises:
        ValueError: there is no point at all.
    """
    figure = Figure((7.0, 4.0), dpi=130, facecolor="white", layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    drawn = [
        _draw_curve(axes, name, points, number)
        for number, (name, points) in enumerate(curves.items())
    ]
    if not any(drawn):
        raise ValueError("learning curves: expected a point, received none.")
    axes.set_xlabel("epoch")
    axes.set_ylabel("Dice % on the validation scans")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    # Beside the axes: with ten systems no corner inside is free.
    axes.legend(
        loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False
    )
    save_figure(figure, path)


def group_by_epoch(points: Points) -> dict[float, list[float]]:
    """Return epoch -> the values there, both ascending; NaN left out."""
    groups: dict[float, list[float]] = {}
    # NaN first: it cannot be sorted.
    for epoch, value in sorted(p for p in points if not math.isnan(p[1])):
        groups.setdefault(epoch, []).append(value)
    return groups


def _draw_curve(axes: Axes, name: str, points: Points, number: int) -> bool:
    """Draw one system; return whether it has a point."""
    values = group_by_epoch(points)
    if not values:
        return False
    colour = colormaps["tab10"](number % 10)
    epochs = list(values)
    means = [100 * float(np.mean(seeds)) for seeds in values.values()]
    # Beyond ten systems the colours repeat with another line.
    style = "-" if number < 10 else "--"
    axes.plot(epochs, means, style, color=colour, label=name, lw=1.5)
    axes.plot(epochs, means, ".", color=colour, ms=4)
    low = [100 * seeds[0] for seeds in values.values()]
    high = [100 * seeds[-1] for seeds in values.values()]
    axes.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)
    return True
