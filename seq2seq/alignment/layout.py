"""Where the parts of a heatmap stand: plain arithmetic in inches from the top left corner of the figure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

CELL_MIN, CELL_MAX, CELLS_SIZE = 0.13, 0.34, 8.0  # cells shrink to fit the size, but not below what a label needs
EDGE, GAP, BETWEEN, NAME = 0.12, 0.05, 0.18, 0.2  # around the figure, from label to cells, between panels, under one
BAR_WIDTH, BAR_MIN, BAR_MAX, BAR_SPACE = 0.09, 0.8, 2.2, 0.38
KEY_WIDTH, KEY_HEIGHT, KEY_SPACE = 1.9, 0.18, 0.32
DPI_MIN, DPI_MAX, PIXELS_MAX = 90, 130, 2000

Place = tuple[float, float, float, float]  # left, top, width, height


class Panels(NamedTuple):
    """How many panels stand side by side and below each other, with how many square cells of which size."""

    across: int
    down: int
    num_target: int
    num_source: int
    cell: float


class Layout(NamedTuple):
    """The size of the figure and the places of its parts."""

    width: float
    height: float
    dpi: float
    panels: list[Place]
    bar: Place
    key: Place


def arrange_panels(num_panels: int, num_target: int, num_source: int) -> Panels:
    """Return an arrangement that is near three to two on the whole and leaves few places empty."""

    def cost(across: int) -> float:
        down = math.ceil(num_panels / across)
        shape = across * num_source / (down * num_target)
        return abs(math.log(shape / 1.5)) + (across * down - num_panels) / num_panels

    across = min(range(1, num_panels + 1), key=cost)
    down = math.ceil(num_panels / across)
    cell = CELLS_SIZE / max(across * num_source, down * num_target)
    return Panels(across, down, num_target, num_source, min(max(cell, CELL_MIN), CELL_MAX))


def label_angles(widths: Sequence[float], cell: float) -> list[int]:
    """Return the rotation of each column's label in degrees: none where nearly all are as narrow as a cell."""
    fits = [width < 0.95 * cell for width in widths]
    slanted = 45 if cell > 0.18 else 90
    upright = sum(fits) >= 0.75 * len(fits)
    return [0 if upright and fit else slanted for fit in fits]


def place_parts(
    panels: Panels,
    *,
    num_panels: int,
    named: bool,
    source_widths: Sequence[float],
    target_widths: Sequence[float],
    font_height: float,
    title_width: float,
    title_height: float,
    key: bool,
) -> Layout:
    """Return the layout for labels and a title of the given sizes; `named` leaves room for a name below each panel."""
    cell = panels.cell
    panel_width, panel_height = panels.num_source * cell, panels.num_target * cell
    step_x, step_y = panel_width + BETWEEN, panel_height + BETWEEN + (NAME if named else 0)
    slopes = [math.radians(angle) for angle in label_angles(source_widths, cell)]
    label_height = max(w * math.sin(a) + font_height * math.cos(a) for w, a in zip(source_widths, slopes, strict=True))

    left = EDGE + max(target_widths) + GAP
    right = left + panels.across * step_x - BETWEEN
    top = EDGE + title_height + GAP + label_height + GAP
    bottom = top + panels.down * step_y - BETWEEN
    bar_height = min(max(panels.down * step_y - BETWEEN - (NAME if named else 0), BAR_MIN), BAR_MAX)
    bottom = max(bottom, top + bar_height)

    last = right - panel_width
    label_ends = [
        last + (i + 0.8) * cell + w * math.cos(a) for i, (w, a) in enumerate(zip(source_widths, slopes, strict=True))
    ]
    key_end = left + KEY_WIDTH if key else 0.0
    width = max(right + BAR_SPACE, *label_ends, key_end, EDGE + title_width) + EDGE
    height = bottom + EDGE + (KEY_SPACE if key else 0)
    return Layout(
        width=width,
        height=height,
        dpi=min(max(PIXELS_MAX / max(width, height), DPI_MIN), DPI_MAX),
        panels=[
            (left + i % panels.across * step_x, top + i // panels.across * step_y, panel_width, panel_height)
            for i in range(num_panels)
        ],
        bar=(right + 1.5 * EDGE, top, BAR_WIDTH, bar_height),
        key=(left, height - KEY_SPACE, KEY_WIDTH, KEY_HEIGHT),
    )
