"""Heads as a figure: how important each is, what the loss is without it, and scores against heads kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seq2seq.alignment.colors import COLORMAP, GREY, GRID, INK
from seq2seq.alignment.headmap import CELL, KINDS
from seq2seq.pruning.curve import Point

CURVES = {"bleu": ("BLEU", 1.0), "perplexity": ("perplexity", 1.0), "aer": ("alignment error, %", 100.0)}
"""Scores that are drawn: what they are called, and by what they are multiplied."""

PANEL = 2.6  # inches a curve is wide


def heads_figure(rows: Sequence[dict[str, Any]], points: Sequence[Point], *, title: str = "") -> Figure:
    """Return a figure with a map of the heads at the left, and a curve a score at the right.

    Args:
        rows: a head each, or heads that go together, with kind, layer, heads and normalized.
        points: from `with_fewer`.
        title: a line.
    """
    places = sorted({(row["kind"], row["layer"]) for row in rows}, key=lambda place: (KINDS.index(place[0]), place[1]))
    most = max(max(row["heads"]) for row in rows) + 1
    curves = [name for name in CURVES if name in points[0].scores]
    map_width = CELL * most
    height = max(CELL * len(places), 2.0)
    width = 1.2 + map_width + len(curves) * (PANEL + 0.7)
    size = (width, height + 1.15)
    figure = Figure(figsize=size, dpi=110, facecolor="white")
    figure.text(0.1 / size[0], 1 - 0.1 / size[1], title, va="top", size=11, weight="bold", color=INK, parse_math=False)

    def axes(left: float, across: float) -> Axes:
        return figure.add_axes((left / size[0], 0.5 / size[1], across / size[0], height / size[1]))

    _draw_map(axes(1.1, map_width), rows, places, most)
    for number, name in enumerate(curves):
        _draw_curve(axes(1.1 + map_width + 0.6 + number * (PANEL + 0.7), PANEL), points, name)
    return figure


def _draw_map(axes: Axes, rows: Sequence[dict[str, Any]], places: list[tuple[str, int]], most: int) -> None:
    values = np.full((len(places), most), np.nan)
    for row in rows:
        values[places.index((row["kind"], row["layer"])), row["heads"]] = row["normalized"]
    axes.imshow(values, cmap=COLORMAP, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            axes.text(
                x, y, f"{100 * value:.0f}", ha="center", va="center", size=7.5, color="white" if value > 0.55 else INK
            )
    axes.set_title("importance, %", size=8, color=INK, pad=4, loc="left")
    axes.set_xticks(range(most), [str(head) for head in range(most)], size=7, color=GREY)
    axes.set_yticks(range(len(places)), [f"{kind} {layer}" for kind, layer in places], size=8, color=INK)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_curve(axes: Axes, points: Sequence[Point], name: str) -> None:
    label, factor = CURVES[name]
    heads = [point.heads for point in points]
    values = [factor * point.scores[name] for point in points]
    axes.plot(heads, values, color=INK, linewidth=1.3, marker="o", markersize=2.5)
    axes.axhline(values[0], color=GRID, linewidth=0.8, zorder=0)
    axes.set_title(label, size=8, color=INK, pad=4, loc="left")
    axes.set_xlabel("heads kept", size=8, color=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # there is no half a head
    axes.invert_xaxis()
    if name == "perplexity" and min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")
    axes.tick_params(labelsize=7, colors=GREY, length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)
