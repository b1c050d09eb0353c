"""An explanation as a figure: the source and the words before side by side, and the source's share."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from seq2seq.alignment.colors import COLORMAP, COLORS, GOLD, GREY, GRID, INK
from seq2seq.alignment.fonts import make_writable
from seq2seq.alignment.labels import FONT_MAX, FONT_MIN, LABEL_MAX, text_width
from seq2seq.alignment.layout import BAR_WIDTH, CELL_MAX, CELL_MIN, CELLS_SIZE, DPI_MAX, DPI_MIN, EDGE, GAP, PIXELS_MAX
from seq2seq.attribution.explanation import Explanation

BETWEEN, LINE, BAR, SCALE = 0.3, 0.2, 1.0, 0.4  # inches: between panels, a line of text, the scale and its width
TITLE_MAX = 110  # characters
AGAINST = ("#7a2e05", GOLD, "#f4965a", "#fbd3b8")
SIGNED = LinearSegmentedColormap.from_list("signed", [*AGAINST, *COLORS[::2]])
"""From orange, against the word, by white to navy, for it."""
BESIDE = "of the source"


class Panel(NamedTuple):
    """A part of the figure."""

    name: str
    values: np.ndarray  # (target, columns)
    columns: list[str]
    low: int  # the least that a value may be
    colors: LinearSegmentedColormap


def figure(explanation: Explanation) -> Figure:
    """Return the figure; a cell is a contribution's share of its row, from -1 (orange) over 0 (white) to 1 (navy)."""
    made, num_source = explanation, len(explanation.source)
    about = f"{made.method}: each row's share of {made.meaning}"
    title = [_shorten(line, TITLE_MAX) for line in (made.target_text, made.source_text, about, made.remark) if line]
    labels = [_shorten(label) for label in (*made.source, *made.prefix, *made.target)]
    texts, families = make_writable([*labels, *title])
    columns, rows = texts[: -len(title) - len(made.target)], texts[-len(title) - len(made.target) : -len(title)]
    low, colors = (-1, SIGNED) if made.signed else (0, COLORMAP)
    panels = [
        Panel("source", made.relative[0].numpy(), columns[:num_source], low, colors),
        Panel("words before", made.relative[1].numpy(), columns[num_source:], low, colors),
        Panel("", made.source_share[:, None].numpy(), [BESIDE], 0, COLORMAP),
    ]

    cell = min(max(CELLS_SIZE / max(len(columns) + 1, len(rows)), CELL_MIN), CELL_MAX)
    font = FontProperties(family=families, size=min(max(0.6 * 72 * cell, FONT_MIN), FONT_MAX))
    heading = FontProperties(family=families, size=11, weight="bold")
    small = FontProperties(family=families, size=9)
    # A label that slants takes as much of the width as of the height.
    slanted = [[text_width(label, font) * 2**-0.5 for label in panel.columns] for panel in panels]
    left = EDGE + max(text_width(label, font) for label in rows) + GAP
    names = EDGE + LINE * (len(title) + 1)
    top = names + LINE + max(map(max, slanted))
    lefts = [left]
    for panel in panels:
        lefts.append(lefts[-1] + len(panel.columns) * cell + BETWEEN)
    ends = [x + (i + 0.7) * cell + w for x, widths in zip(lefts, slanted, strict=False) for i, w in enumerate(widths)]
    fonts = [heading, *[small] * (len(title) - 1)]
    lines = [EDGE + text_width(line, its) for line, its in zip(texts[-len(title) :], fonts, strict=True)]
    width = max(lefts[-1] + SCALE, *ends, *lines) + EDGE
    height = top + max(len(rows) * cell, BAR) + EDGE

    drawn = Figure(figsize=(width, height), facecolor="white", dpi=min(max(PIXELS_MAX / width, DPI_MIN), DPI_MAX))
    axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    for i, (line, its) in enumerate(zip(texts[-len(title) :], fonts, strict=True)):
        _write(axes, EDGE, EDGE + (i + 0.5) * LINE, line, its, color=GREY if i else INK)
    for x, panel in zip(lefts, panels, strict=False):
        _panel(axes, x, top, cell, panel)
        for i, label in enumerate(panel.columns):
            _write(axes, x + (i + 0.65) * cell, top - GAP, label, font, rotation=45)
        _write(axes, x, names, panel.name, small, color=GREY)
    for y, label in enumerate(rows):
        _write(axes, left - GAP, top + (y + 0.5) * cell, label, font, ha="right", va="center_baseline")
    _scale(axes, lefts[-1], top, panels[0])
    return drawn


def _panel(axes: Axes, left: float, top: float, cell: float, panel: Panel) -> None:
    down, across = panel.values.shape
    right, bottom = left + across * cell, top + down * cell
    options: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "extent": (left, right, bottom, top)}
    axes.imshow(panel.values, cmap=panel.colors, vmin=panel.low, vmax=1, **options)
    lines = [[(left, top + y * cell), (right, top + y * cell)] for y in range(down + 1)]
    lines += [[(left + x * cell, top), (left + x * cell, bottom)] for x in range(across + 1)]
    axes.add_collection(LineCollection(lines, colors=GRID, linewidths=0.5), autolim=False)


def _scale(axes: Axes, left: float, top: float, panel: Panel) -> None:
    """Draw the scale of the colours, 1 on top."""
    extent = (left, left + BAR_WIDTH, top + BAR, top)
    values = np.linspace(1, panel.low, 256)[:, None]
    axes.imshow(values, cmap=panel.colors, vmin=panel.low, vmax=1, aspect="auto", extent=extent)
    for value in (panel.low, 0, 1):
        y = top + (1 - value) / (1 - panel.low) * BAR
        axes.text(left + 1.6 * BAR_WIDTH, y, f"{value:g}", size=8, color=GREY, va="center")


def _write(
    axes: Axes, x: float, y: float, text: str, font: FontProperties, *, color: str = INK, **place: str | int
) -> None:
    """Write text as it is: `$` starts no formula."""
    where = {"ha": "left", "va": "baseline", "rotation_mode": "anchor", **place}
    axes.text(x, y, text, where, fontproperties=font, color=color, parse_math=False, usetex=False)


def _shorten(label: str, most: int = LABEL_MAX) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
