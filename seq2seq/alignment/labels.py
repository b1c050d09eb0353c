"""Words in a figure: labels of columns and rows, and its title, written as they are."""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from seq2seq.alignment.colors import GREY, INK
from seq2seq.alignment.layout import EDGE, GAP, Place

FONT_MIN, FONT_MAX = 6.5, 10.0  # points
LABEL_MAX = 24  # characters


def label_columns(
    axes: Axes, place: Place, cell: float, labels: Sequence[str], angles: Sequence[int], font: FontProperties
) -> None:
    """Write the source above a panel."""
    for x, (label, angle) in enumerate(zip(labels, angles, strict=True)):
        _label_column(axes, place[0] + x * cell, place[1] - GAP, cell, label, angle, font)


def label_rows(axes: Axes, place: Place, cell: float, labels: Sequence[str], font: FontProperties) -> None:
    """Write the target to the left of a panel."""
    for y, label in enumerate(labels):
        write(axes, place[0] - GAP, place[1] + (y + 0.5) * cell, label, font, ha="right", va="center_baseline")


def _label_column(axes: Axes, left: float, y: float, cell: float, label: str, angle: int, font: FontProperties) -> None:
    """Write a label that starts above the middle of its column, or stands on it where it is upright."""
    if angle == 0:
        write(axes, left + 0.5 * cell, y, label, font, ha="center", va="baseline")
    elif angle == 45:
        write(axes, left + 0.65 * cell, y, label, font, ha="left", va="baseline", rotation=45)
    else:
        write(axes, left + 0.5 * cell, y, label, font, ha="left", va="center_baseline", rotation=90)


def write(
    axes: Axes, x: float, y: float, text: str, font: FontProperties, *, color: str = INK, **place: str | int
) -> None:
    """Write text as it is: `$` starts no formula. It begins at x, on the line y, where `place` says nothing else."""
    where = {"ha": "left", "va": "baseline", "rotation_mode": "anchor", **place}
    axes.text(x, y, text, where, fontproperties=font, color=color, parse_math=False, usetex=False)


def title_lines(lines: Sequence[str], families: list[str], width: float) -> list[tuple[str, FontProperties]]:
    """Return the lines of the title with their fonts; one wider than `width` is wrapped, then cut after two lines."""
    fitted: list[tuple[str, FontProperties]] = []
    for number, line in enumerate(lines):
        font = FontProperties(family=families, size=9 if number else 11, weight="normal" if number else "bold")
        line_width = text_width(line, font)
        characters = int(len(line) * width / line_width) if line_width > width else len(line) + 1
        fitted.extend((piece, font) for piece in textwrap.wrap(line, characters, max_lines=2, placeholder=" …"))
    return fitted


def draw_title(figure: Figure, lines: list[tuple[str, FontProperties]]) -> None:
    """Write the lines of the title, each in its font, from the top left."""
    width, height = figure.get_size_inches()
    top = EDGE
    for text, font in lines:
        color = INK if font.get_weight() == "bold" else GREY
        x, y = EDGE / width, 1 - top / height
        figure.text(x, y, text, fontproperties=font, color=color, va="top", parse_math=False, usetex=False)
        top += line_height(font)


def shorten(label: str, most: int = LABEL_MAX) -> str:
    """Return a label of at most so many characters."""
    return label if len(label) <= most else label[: most - 1] + "…"


def text_width(text: str, font: FontProperties) -> float:
    """Return the width of a line of text in inches."""
    return RendererAgg(1, 1, 72).get_text_width_height_descent(text, font, False)[0] / 72


def line_height(font: FontProperties) -> float:
    """Return how far apart lines of text stand, in inches."""
    return 1.4 * font.get_size() / 72
