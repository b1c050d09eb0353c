"""Outlines of gold links in a heatmap, solid where they are sure and dashed where they are possible."""

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from seq2seq.alignment.colors import GOLD, GREY
from seq2seq.alignment.layout import Place
from seq2seq.alignment.links import Links

DASHED = (0, (2, 1.2))  # as matplotlib writes it: from 0, two line widths on, 1.2 off


def draw_links(axes: Axes, place: Place, cell: float, gold: Links) -> None:
    """Outline the cells of the gold links."""
    left, top, width, height = place
    num_source, num_target = round(width / cell), round(height / cell)
    for links, style in ((gold.sure, "solid"), (gold.possible - gold.sure, DASHED)):
        inside = [link for link in links if link[0] < num_source and link[1] < num_target]
        boxes = [_box(left + x * cell, top + y * cell, cell) for x, y in inside]
        axes.add_collection(
            LineCollection(boxes, colors=GOLD, linewidths=1.3, linestyles=[style], zorder=3), autolim=False
        )


def draw_links_key(axes: Axes, place: Place) -> None:
    """Say what the outlines of gold links mean."""
    left, top, _, size = place
    for x, label, style in ((0, "gold, sure", "solid"), (5, "possible", DASHED)):
        box = _box(left + x * size, top, size)
        axes.add_collection(LineCollection([box], colors=GOLD, linewidths=1.3, linestyles=[style]), autolim=False)
        axes.text(left + (x + 1.3) * size, top + size / 2, label, size=8, color=GREY, va="center_baseline")


def _box(left: float, top: float, cell: float) -> list[tuple[float, float]]:
    """Return the outline of a cell, a little inside it."""
    corners = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9), (0.1, 0.1))
    return [(left + x * cell, top + y * cell) for x, y in corners]
