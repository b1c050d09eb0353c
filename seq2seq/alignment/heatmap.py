"""Attention weights as labelled heatmaps, drawn by matplotlib without pyplot or any other global state."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image
from torch import Tensor

from seq2seq.alignment.cells import draw_border, draw_cells, draw_grids, draw_scale
from seq2seq.alignment.colors import GREY
from seq2seq.alignment.fonts import make_writable
from seq2seq.alignment.labels import (
    FONT_MAX,
    FONT_MIN,
    draw_title,
    label_columns,
    label_rows,
    line_height,
    shorten,
    text_width,
    title_lines,
)
from seq2seq.alignment.layout import GAP, arrange_panels, label_angles, place_parts
from seq2seq.alignment.links import Links
from seq2seq.alignment.outlines import draw_links, draw_links_key
from seq2seq.alignment.shares import NOWHERE, is_seen
from seq2seq.unfinished import part_of

TITLE_WIDTH = 4.5  # inches that a title may take even where the cells take less


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
    labels = [shorten(label) for label in [*source_labels, *target_labels]]
    texts, families = make_writable([*labels, *title.splitlines()])
    sources, targets, lines = texts[:num_source], texts[num_source : len(labels)], texts[len(labels) :]

    panels = arrange_panels(num_panels, num_target, num_source)
    font = FontProperties(family=families, size=min(max(0.6 * 72 * panels.cell, FONT_MIN), FONT_MAX))
    source_widths = [text_width(label, font) for label in sources]
    titles = title_lines(lines, families, max(panels.across * num_source * panels.cell, TITLE_WIDTH))
    layout = place_parts(
        panels,
        num_panels=num_panels,
        named=any(names),
        source_widths=source_widths,
        target_widths=[text_width(label, font) for label in targets],
        font_height=font.get_size() / 72,
        title_width=max((text_width(line, title_font) for line, title_font in titles), default=0.0),
        title_height=sum(line_height(title_font) for _, title_font in titles),
        key=gold is not None,
    )

    figure = Figure(figsize=(layout.width, layout.height), dpi=layout.dpi, facecolor="white")
    figure.suppressComposite = True  # in an SVG each panel stays an image of its own
    draw_title(figure, titles)
    # One axes for all, in inches from the top left: to make an axes takes longer than to draw what is in it.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, layout.width), ylim=(layout.height, 0), autoscale_on=False)
    axes.set_axis_off()
    angles = label_angles(source_widths, panels.cell)
    for panel, (name, place) in enumerate(zip(names, layout.panels, strict=True)):
        draw_cells(axes, place, values[panel])
        if gold is not None:
            draw_links(axes, place, panels.cell, gold)
        if panel < panels.across:
            label_columns(axes, place, panels.cell, sources, angles, font)
        if panel % panels.across == 0:
            label_rows(axes, place, panels.cell, targets, font)
        left, top, width, height = place
        axes.text(left + width / 2, top + height + GAP, name, ha="center", va="top", size=8, color=GREY)
    draw_grids(axes, layout.panels, panels.cell)
    if apart:
        draw_border(axes, layout.panels, panels.cell)
    draw_scale(axes, layout.bar)
    if gold is not None:
        draw_links_key(axes, layout.key)
    return figure
