"""Attention weights as labelled heatmaps, drawn by matplotlib without pyplot or any other global state."""

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image
from torch import Tensor

from seq2seq.alignment.colors import COLORMAP, GREY, GRID, INK
from seq2seq.alignment.fonts import make_writable
from seq2seq.alignment.layout import EDGE, GAP, Place, arrange_panels, label_angles, place_parts
from seq2seq.alignment.links import Links
from seq2seq.alignment.outlines import draw_links, draw_links_key
from seq2seq.alignment.shares import NOWHERE, is_seen
from seq2seq.unfinished import part_of

FONT_MIN, FONT_MAX = 6.5, 10.0  # points
TITLE_WIDTH = 4.5  # inches that a title may take even where the cells take less
LABEL_MAX = 24  # characters


def heatmap(
    weights: Tensor,
    source_labels: Sequence[str],
    target_labels: Sequence[str],
    *,
    title: str = "",
    gold: Links | None = None,
    nowhere: Tensor | None = None,
) -> Figure:
    """Return one heatmap, source across and target down, on a fixed 0-1 scale.

    Args:
        weights: `(target, source)`.
        source_labels: a label for every column, the end of the sentence included.
        target_labels: a label for every row.
        title: one or more lines; the first is the heading.
        gold: links to outline, sure ones solid and possible ones dashed; those outside the picture are left out.
        nowhere: `(target,)`, what each row gives to no column: a last column apart, where that is more than 0.01.

    Raises:
        ValueError: when there are not as many labels as weights, or none.
    """
    rest = None if nowhere is None else nowhere.unsqueeze(0)
    return _draw(weights.unsqueeze(0), [""], source_labels, target_labels, title, gold, rest)


def heatmap_grid(
    weights: Tensor,
    source_labels: Sequence[str],
    target_labels: Sequence[str],
    *,
    title: str = "",
    gold: Links | None = None,
    nowhere: Tensor | None = None,
) -> Figure:
    """Return a heatmap for the mean of the heads and for each, on one scale, labelled along the outer edges only.

    `weights` is `(heads, target, source)` and `nowhere` `(heads, target)`; otherwise as `heatmap`. A single head is its
    own mean and drawn once.
    """
    if len(weights) == 1:
        return _draw(weights, [""], source_labels, target_labels, title, gold, nowhere)
    names = ["mean", *(f"head {head}" for head in range(len(weights)))]
    weights = torch.cat((weights.mean(0, keepdim=True), weights))
    rest = None if nowhere is None else torch.cat((nowhere.mean(0, keepdim=True), nowhere))
    return _draw(weights, names, source_labels, target_labels, title, gold, rest)


def draw_image(figure: Figure) -> np.ndarray:
    """Return the drawn figure as `(height, width, 3)` uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def save_image(image: np.ndarray, path: str | Path) -> None:
    """Write a drawn figure as PNG; a missing folder is made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, compress_level=1)  # the pictures of a training are many


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure, whole, as PNG or SVG, by the suffix of the path; a missing folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        figure.savefig(part, dpi=figure.dpi, format=path.suffix.removeprefix("."))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _draw(
    weights: Tensor,
    names: Sequence[str],
    source_labels: Sequence[str],
    target_labels: Sequence[str],
    title: str,
    gold: Links | None,
    nowhere: Tensor | None,
) -> Figure:
    """Return the figure of all panels of `weights`, `(panels, target, source)`, each with its name below."""
    apart = nowhere is not None and is_seen(nowhere)
    if nowhere is not None and apart:
        weights, source_labels = torch.cat((weights, nowhere.unsqueeze(-1)), dim=-1), [*source_labels, NOWHERE]
    num_panels, num_target, num_source = weights.shape
    if (num_target, num_source) != (len(target_labels), len(source_labels)) or weights.numel() == 0:
        raise ValueError(
            f"{len(target_labels)} target and {len(source_labels)} source labels for weights of shape "
            f"{tuple(weights.shape)}; expected at least one token of each and a label for every token"
        )
    values = weights.detach().float().cpu().numpy()
    labels = [_shorten(label) for label in [*source_labels, *target_labels]]
    texts, families = make_writable([*labels, *title.splitlines()])
    sources, targets, lines = texts[:num_source], texts[num_source : len(labels)], texts[len(labels) :]

    panels = arrange_panels(num_panels, num_target, num_source)
    font = FontProperties(family=families, size=min(max(0.6 * 72 * panels.cell, FONT_MIN), FONT_MAX))
    source_widths = [text_width(label, font) for label in sources]
    title_lines = _title_lines(lines, families, max(panels.across * num_source * panels.cell, TITLE_WIDTH))
    layout = place_parts(
        panels,
        num_panels=num_panels,
        named=any(names),
        source_widths=source_widths,
        target_widths=[text_width(label, font) for label in targets],
        font_height=font.get_size() / 72,
        title_width=max((text_width(line, title_font) for line, title_font in title_lines), default=0.0),
        title_height=sum(_line_height(title_font) for _, title_font in title_lines),
        key=gold is not None,
    )

    figure = Figure(figsize=(layout.width, layout.height), dpi=layout.dpi, facecolor="white")
    figure.suppressComposite = True  # in an SVG each panel stays an image of its own
    _draw_title(figure, title_lines)
    # One axes for all, in inches from the top left: to make an axes takes longer than to draw what is in it.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, layout.width), ylim=(layout.height, 0), autoscale_on=False)
    axes.set_axis_off()
    angles = label_angles(source_widths, panels.cell)
    for panel, (name, place) in enumerate(zip(names, layout.panels, strict=True)):
        left, top, width, height = place
        _draw_image(axes, place, values[panel])
        if gold is not None:
            draw_links(axes, place, panels.cell, gold)
        if panel < panels.across:
            for x, (label, angle) in enumerate(zip(sources, angles, strict=True)):
                _label_column(axes, left + x * panels.cell, top - GAP, panels.cell, label, angle, font)
        if panel % panels.across == 0:
            for y, label in enumerate(targets):
                middle = top + (y + 0.5) * panels.cell
                _write(axes, left - GAP, middle, label, font, ha="right", va="center_baseline")
        axes.text(left + width / 2, top + height + GAP, name, ha="center", va="top", size=8, color=GREY)
    _draw_grids(axes, layout.panels, panels.cell)
    if apart:
        _draw_border(axes, layout.panels, panels.cell)
    _draw_bar(axes, layout.bar)
    if gold is not None:
        draw_links_key(axes, layout.key)
    return figure


def _draw_image(axes: Axes, place: Place, values: np.ndarray) -> None:
    left, top, width, height = place
    axes.imshow(
        values,
        cmap=COLORMAP,
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(left, left + width, top + height, top),
    )


def _draw_grids(axes: Axes, panels: Sequence[Place], cell: float) -> None:
    lines = []
    for left, top, width, height in panels:
        right, bottom = left + width, top + height
        lines += [[(left, top + y * cell), (right, top + y * cell)] for y in range(round(height / cell) + 1)]
        lines += [[(left + x * cell, top), (left + x * cell, bottom)] for x in range(round(width / cell) + 1)]
    axes.add_collection(LineCollection(lines, colors=GRID, linewidths=0.5), autolim=False)


def _draw_border(axes: Axes, panels: Sequence[Place], cell: float) -> None:
    """Part the last column of each panel, which is no token, from the others."""
    lines = [[(left + width - cell, top), (left + width - cell, top + height)] for left, top, width, height in panels]
    axes.add_collection(LineCollection(lines, colors=INK, linewidths=1.2), autolim=False)


def _label_column(axes: Axes, left: float, y: float, cell: float, label: str, angle: int, font: FontProperties) -> None:
    """Write a label that starts above the middle of its column, or stands on it where it is upright."""
    if angle == 0:
        _write(axes, left + 0.5 * cell, y, label, font, ha="center", va="baseline")
    elif angle == 45:
        _write(axes, left + 0.65 * cell, y, label, font, ha="left", va="baseline", rotation=45)
    else:
        _write(axes, left + 0.5 * cell, y, label, font, ha="left", va="center_baseline", rotation=90)


def _write(
    axes: Axes, x: float, y: float, text: str, font: FontProperties, *, ha: str, va: str, rotation: int = 0
) -> None:
    """Write text as it is: `$` starts no formula."""
    place = {"ha": ha, "va": va, "rotation": rotation, "rotation_mode": "anchor"}
    axes.text(x, y, text, place, fontproperties=font, color=INK, parse_math=False, usetex=False)


def _draw_bar(axes: Axes, place: Place) -> None:
    """Draw the scale of the colours, 1 on top."""
    left, top, width, height = place
    _draw_image(axes, place, np.linspace(1, 0, 256)[:, None])
    frame = [(left, top), (left + width, top), (left + width, top + height), (left, top + height), (left, top)]
    axes.add_collection(LineCollection([frame], colors=GRID, linewidths=0.8), autolim=False)
    for value, label in ((0, "0"), (0.5, ".5"), (1, "1")):
        axes.text(left + 1.6 * width, top + (1 - value) * height, label, size=8, color=GREY, va="center")


def _title_lines(lines: Sequence[str], families: list[str], width: float) -> list[tuple[str, FontProperties]]:
    """Return the lines of the title with their fonts; one wider than `width` is wrapped, then cut after two lines."""
    fitted: list[tuple[str, FontProperties]] = []
    for number, line in enumerate(lines):
        font = FontProperties(family=families, size=9 if number else 11, weight="normal" if number else "bold")
        line_width = text_width(line, font)
        characters = int(len(line) * width / line_width) if line_width > width else len(line) + 1
        fitted.extend((piece, font) for piece in textwrap.wrap(line, characters, max_lines=2, placeholder=" …"))
    return fitted


def _draw_title(figure: Figure, lines: list[tuple[str, FontProperties]]) -> None:
    width, height = figure.get_size_inches()
    top = EDGE
    for text, font in lines:
        color = INK if font.get_weight() == "bold" else GREY
        x, y = EDGE / width, 1 - top / height
        figure.text(x, y, text, fontproperties=font, color=color, va="top", parse_math=False, usetex=False)
        top += _line_height(font)


def _shorten(label: str) -> str:
    return label if len(label) <= LABEL_MAX else label[: LABEL_MAX - 1] + "…"


def _line_height(font: FontProperties) -> float:
    return 1.4 * font.get_size() / 72


def text_width(text: str, font: FontProperties) -> float:
    """Return the width of a line of text in inches."""
    return RendererAgg(1, 1, 72).get_text_width_height_descent(text, font, False)[0] / 72
