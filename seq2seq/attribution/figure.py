"""An explanation as a figure: the source and the words before side by side, and the source's share."""

from typing import NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from seq2seq.alignment.cells import draw_cells, draw_grids, draw_scale
from seq2seq.alignment.colors import COLORMAP, COLORS, GOLD, GREY, INK
from seq2seq.alignment.fonts import make_writable
from seq2seq.alignment.labels import FONT_MAX, FONT_MIN, shorten, text_width, write
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
    title = [shorten(line, TITLE_MAX) for line in (made.target_text, made.source_text, about, made.remark) if line]
    labels = [shorten(label) for label in (*made.source, *made.prefix, *made.target)]
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
        write(axes, EDGE, EDGE + (i + 0.5) * LINE, line, its, color=GREY if i else INK)
    for x, panel in zip(lefts, panels, strict=False):
        place = (x, top, len(panel.columns) * cell, len(rows) * cell)
        draw_cells(axes, place, panel.values, colors=panel.colors, low=panel.low)
        draw_grids(axes, [place], cell)
        for i, label in enumerate(panel.columns):
            write(axes, x + (i + 0.65) * cell, top - GAP, label, font, rotation=45)
        write(axes, x, names, panel.name, small, color=GREY)
    for y, label in enumerate(rows):
        write(axes, left - GAP, top + (y + 0.5) * cell, label, font, ha="right", va="center_baseline")
    draw_scale(axes, (lefts[-1], top, BAR_WIDTH, BAR), colors=panels[0].colors, low=panels[0].low)
    return drawn
