"""An explanation as a figure: the source's part and the part of the words before side by side, and the source's share."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from seq2seq.alignment.colors import COLORMAP, COLORS, GOLD, GREY, GRID, INK
from seq2seq.alignment.fonts import make_writable
from seq2seq.alignment.heatmap import FONT_MAX, FONT_MIN, LABEL_MAX, text_width
from seq2seq.alignment.layout import CELL_MAX, CELL_MIN, CELLS_SIZE, DPI_MAX, DPI_MIN, EDGE, GAP, PIXELS_MAX
from seq2seq.attribution.explanation import Explanation

BETWEEN, LINE, BAR = 0.3, 0.2, 1.0  # inches: between the panels, of a line of text, of the scale
AGAINST = ("#7a2e05", GOLD, "#f4965a", "#fbd3b8")
SIGNED = LinearSegmentedColormap.from_list("signed", [*AGAINST, *COLORS[::2]])
"""From orange, against the word, by white to navy, for it."""
BESIDE = "of the source"


def figure(explanation: Explanation) -> Figure:
    """Return the figure; a cell is a contribution's share of its row, from -1 (orange) over 0 (white) to 1 (navy)."""
    made = explanation
    labels = [_shorten(label) for label in (*made.source, *made.prefix, *made.target)]
    title = [made.target_text, made.source_text, f"{made.method}: each row's share of {made.meaning}", made.remark]
    texts, families = make_writable([*labels, *(_shorten(line, 110) for line in title if line)])
    num_target, num_source, num_prefix = len(made.target), len(made.source), len(made.prefix)
    columns, rows = texts[: num_source + num_prefix], texts[num_source + num_prefix : len(labels)]
    cell = min(max(CELLS_SIZE / max(num_source + num_prefix + 1, num_target), CELL_MIN), CELL_MAX)
    font = FontProperties(family=families, size=min(max(0.6 * 72 * cell, FONT_MIN), FONT_MAX))

    slope = 2**-0.5
    widths = [text_width(label, font) for label in columns]
    above = max([*widths, text_width(BESIDE, font)]) * slope + 0.15
    left = EDGE + max(text_width(label, font) for label in rows) + GAP
    top = EDGE + LINE * len(texts[len(labels) :]) + 2 * LINE + above
    lefts = (left, left + num_source * cell + BETWEEN, left + (num_source + num_prefix) * cell + 2 * BETWEEN)
    ends = [x + (i + 0.7) * cell + w * slope for x, part in ((lefts[0], widths[:num_source]), (lefts[1], widths[num_source:]))
            for i, w in enumerate(part)]  # fmt: skip
    heading = FontProperties(family=families, size=11, weight="bold")
    small = FontProperties(family=families, size=9)
    titles = [text_width(line, small if i else heading) + 2 * EDGE for i, line in enumerate(texts[len(labels) :])]
    width = max(lefts[2] + cell + text_width(BESIDE, font) * slope + BETWEEN, lefts[2] + cell + 4 * BETWEEN, *ends, *titles)
    height = top + max(num_target * cell, BAR) + EDGE

    drawn = Figure(figsize=(width, height), facecolor="white", dpi=min(max(PIXELS_MAX / width, DPI_MIN), DPI_MAX))
    axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    for i, line in enumerate(texts[len(labels) :]):
        _write(axes, EDGE, EDGE + (i + 0.5) * LINE, line, small if i else heading, color=GREY if i else INK)
    colors = SIGNED if made.signed else COLORMAP
    for x, values, part, name in (
        (lefts[0], made.relative[0].numpy(), columns[:num_source], "source"),
        (lefts[1], made.relative[1].numpy(), columns[num_source:], "words before"),
        (lefts[2], made.source_share[:, None].numpy(), [BESIDE], ""),
    ):
        low = -1 if made.signed and name else 0
        _panel(axes, x, top, cell, values, low, colors if name else COLORMAP)
        for i, label in enumerate(part):
            _write(axes, x + (i + 0.65) * cell, top - GAP, label, font, rotation=45)
        _write(axes, x, top - above - 0.5 * LINE, name, small, color=GREY)
    for y, label in enumerate(rows):
        _write(axes, left - GAP, top + (y + 0.5) * cell, label, font, ha="right", va="center_baseline")
    _scale(axes, lefts[2] + cell + BETWEEN, top, colors, -1 if made.signed else 0)
    return drawn


def _panel(
    axes: Axes, left: float, top: float, cell: float, values: np.ndarray, low: int, colors: LinearSegmentedColormap
) -> None:
    down, across = values.shape
    right, bottom = left + across * cell, top + down * cell
    axes.imshow(values, cmap=colors, vmin=low, vmax=1, aspect="auto", interpolation="nearest",
                extent=(left, right, bottom, top))  # fmt: skip
    lines = [[(left, top + y * cell), (right, top + y * cell)] for y in range(down + 1)]
    lines += [[(left + x * cell, top), (left + x * cell, bottom)] for x in range(across + 1)]
    axes.add_collection(LineCollection(lines, colors=GRID, linewidths=0.5), autolim=False)


def _scale(axes: Axes, left: float, top: float, colors: LinearSegmentedColormap, low: int) -> None:
    extent = (left, left + 0.09, top + BAR, top)
    axes.imshow(np.linspace(1, low, 256)[:, None], cmap=colors, vmin=low, vmax=1, aspect="auto", extent=extent)
    for value in (low, 0, 1):
        axes.text(left + 0.14, top + (1 - value) / (1 - low) * BAR, f"{value:g}", size=8, color=GREY, va="center")


def _write(
    axes: Axes, x: float, y: float, text: str, font: FontProperties, *, color: str = INK, **place: str | int
) -> None:
    """Write text as it is: `$` starts no formula."""
    where = {"ha": "left", "va": "baseline", "rotation_mode": "anchor", **place}
    axes.text(x, y, text, where, fontproperties=font, color=color, parse_math=False, usetex=False)


def _shorten(label: str, most: int = LABEL_MAX) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
