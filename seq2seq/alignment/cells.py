"""Cells of a figure: values as colours, the lines between them, and the scale of the colours."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap

from seq2seq.alignment.colors import COLORMAP, GREY, GRID, INK
from seq2seq.alignment.layout import Place


def draw_cells(axes: Axes, place: Place, values: np.ndarray, *, colors: Colormap = COLORMAP, low: int = 0) -> None:
    """Colour the cells of values (down, across), which are from `low` to 1."""
    left, top, width, height = place
    axes.imshow(
        values,
        cmap=colors,
        vmin=low,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(left, left + width, top + height, top),
    )


def draw_grids(axes: Axes, panels: Sequence[Place], cell: float) -> None:
    """Part the cells of each panel."""
    lines = []
    for left, top, width, height in panels:
        right, bottom = left + width, top + height
        lines += [[(left, top + y * cell), (right, top + y * cell)] for y in range(round(height / cell) + 1)]
        lines += [[(left + x * cell, top), (left + x * cell, bottom)] for x in range(round(width / cell) + 1)]
    axes.add_collection(LineCollection(lines, colors=GRID, linewidths=0.5), autolim=False)


def draw_border(axes: Axes, panels: Sequence[Place], cell: float) -> None:
    """Part the last column of each panel, which is no token, from the others."""
    lines = [[(left + width - cell, top), (left + width - cell, top + height)] for left, top, width, height in panels]
    axes.add_collection(LineCollection(lines, colors=INK, linewidths=1.2), autolim=False)


def draw_scale(axes: Axes, place: Place, *, colors: Colormap = COLORMAP, low: int = 0) -> None:
    """Draw the scale of the colours, 1 on top."""
    left, top, width, height = place
    draw_cells(axes, place, np.linspace(1, low, 256)[:, None], colors=colors, low=low)
    frame = [(left, top), (left + width, top), (left + width, top + height), (left, top + height), (left, top)]
    axes.add_collection(LineCollection([frame], colors=GRID, linewidths=0.8), autolim=False)
    for value in (low, (low + 1) / 2, 1):
        y = top + (1 - value) / (1 - low) * height
        axes.text(left + 1.6 * width, y, f"{value:g}".lstrip("0") or "0", size=8, color=GREY, va="center")
