"""What every head of a model does, layers down and heads across, one panel a statistic."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seq2seq.alignment.colors import COLORMAP, GREY, INK
from seq2seq.alignment.shares import LEAST

PANELS = {
    "aer": "alignment error",
    "normalized_entropy": "entropy ÷ log(keys)",
    "saturation": "saturated rows",
    "sink_mass": "on </s>, <s>, punctuation",
    "nowhere": "nowhere",
    "previous": "on previous",
    "diagonal": "on diagonal",
    "next": "on next",
}
KINDS = ("encoder", "decoder", "cross")
CELL = 0.36  # inches


def head_map(heads: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Return a figure of the statistics of all heads, in percent.

    Args:
        heads: a row a head with kind, layer, head (None for the mean) and any of the statistics in `PANELS`; `nowhere`
            is left out where no head gives more than 0.01 to it.
        title: a line.
    """
    order = KINDS
    places = sorted({(row["kind"], row["layer"]) for row in heads}, key=lambda place: (order.index(place[0]), place[1]))
    columns = [None, *range(max((row["head"] for row in heads if row["head"] is not None), default=-1) + 1)]
    panels = {name: label for name, label in PANELS.items() if any(name in row for row in heads)}
    if all(row.get("nowhere", 0) <= LEAST for row in heads):
        panels.pop("nowhere", None)
    panel_width, height = CELL * len(columns), CELL * len(places)
    size = (1.2 + len(panels) * (panel_width + 0.35), height + 1.05)
    figure = Figure(figsize=size, dpi=120, facecolor="white")
    figure.text(0.1 / size[0], 1 - 0.1 / size[1], title, va="top", size=11, weight="bold", color=INK)
    for number, (name, label) in enumerate(panels.items()):
        values = np.full((len(places), len(columns)), np.nan)
        for row in heads:
            values[places.index((row["kind"], row["layer"])), columns.index(row["head"])] = row.get(name, np.nan)
        left = 1.1 + number * (panel_width + 0.35)
        axes = figure.add_axes((left / size[0], 0.3 / size[1], panel_width / size[0], height / size[1]))
        axes.imshow(values, cmap=COLORMAP, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        for (y, x), value in np.ndenumerate(values):
            if not np.isnan(value):
                ink = "white" if value > 0.55 else INK
                axes.text(x, y, f"{100 * value:.0f}", ha="center", va="center", size=7.5, color=ink)
        axes.set_title(label, size=8, color=INK, pad=4, loc="left")
        names = ["mean" if head is None else str(head) for head in columns]
        axes.set_xticks(range(len(columns)), names, size=7, color=GREY)
        axes.set_yticks(range(len(places)), [f"{kind} {layer}" for kind, layer in places], size=8, color=INK)
        axes.tick_params(length=0, labelleft=number == 0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure
