"""What visualize.js shows: every attention of a source with some targets, as plain data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seq2seq.alignment.analysis import head_statistics, is_sink
from seq2seq.alignment.headmap import PANELS
from seq2seq.alignment.maps import AttentionMap
from seq2seq.alignment.sentence import Sentence
from seq2seq.alignment.shares import LEAST, NOWHERE, shares
from seq2seq.attribution import Explanation
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.pages import read, render_page

STATISTICS = {name: label for name, label in PANELS.items() if name != "aer"}  # one sentence has no error rate
ONE = 10_000  # weights are written as whole numbers, of which so many are 1: half as long as decimals
SCRIPTS = ("visualize_words.js", "visualize_methods.js", "visualize_heads.js", "visualize.js")
"""The inside of `viewer`."""


class Target(NamedTuple):
    """What a decoder was forced to say, and all attention while it did."""

    name: str  # such as `hypothesis-1` or `reference`: also that of its folder
    sentence: Sentence
    score: float | None  # of search; None for a reference
    maps: list[AttentionMap]
    read: Mapping[str, list[AttentionMap]] = {}  # cross-attention in other readings, by their names
    explained: Sequence[tuple[Explanation, Explanation | None]] = ()  # by a method, and beside each word's runner-up


def visualize_page(
    source: Sentence, targets: Sequence[Target], *, alignment: AlignmentChoice | None, checkpoint: str
) -> str:
    """Return the page of a source and at least one target, as HTML.

    Args:
        source: the sentence that was read.
        targets: what was said, each with the attention of the same model.
        alignment: what the page shows first; None: the first attention.
        checkpoint: where the model came from.
    """
    title = f"Attention: {source.text}"
    data = page_data(source, targets, alignment, checkpoint)
    return render_page(title, data, scripts=["visualize_page.js"], libraries=[viewer_script()])


def viewer_script() -> str:
    """Return the script of `viewer(data, place, live)`, which draws what `page_data` returns; after `heatmap.js`."""
    inside = "\n".join(read(name) for name in SCRIPTS)
    return f"function viewer(DATA, place, live) {{\n{inside}\n}}"


def page_data(
    source: Sentence, targets: Sequence[Target], alignment: AlignmentChoice | None, checkpoint: str
) -> dict[str, Any]:
    """Return the data of the page; the encoder's attention, the same for every target, stands in it once."""
    choice = None
    if alignment is not None:
        site = next(m.site for m in targets[0].maps if m.name == alignment.layer)
        choice = {"kind": site.kind, "layer": site.layer, "head": alignment.head, "reading": str(alignment.reading)}
    return {
        "source": source.text,
        "checkpoint": "/".join(Path(checkpoint).resolve().parts[1:][-4:]),  # run, time, checkpoints, file
        "alignment": choice,
        "statistics": STATISTICS,
        "one": ONE,
        "nowhere": {"label": NOWHERE, "least": LEAST},
        "encoder": [_map_data(m) for m in targets[0].maps if m.site.kind == "encoder"],
        "targets": [
            {
                "name": target.name,
                "text": target.sentence.text,
                "score": target.score,
                "maps": [_with_readings(m, target) for m in target.maps if m.site.kind != "encoder"],
                "explained": [_explained_data(*pair) for pair in target.explained],
            }
            for target in targets
        ],
    }


def map_statistics(attention: AttentionMap) -> dict[str, list[float]]:
    """Return the statistics between pieces, a value a head; where there are several, that of their mean is first."""
    weights, seen = shares(attention.weights), attention.seen
    if len(weights) > 1:
        weights = torch.cat((weights.mean(0, keepdim=True), weights))
        seen = None if seen is None else torch.cat((seen.any(0, keepdim=True), seen))
    visible = torch.ones(weights.shape[-2:], dtype=torch.bool)
    if attention.site.kind == "decoder":
        visible = visible.tril()
    sinks = torch.tensor([is_sink(label) for label in attention.key.pieces])
    sums, rows = head_statistics(weights, visible.expand(weights.shape), sinks, seen=seen)
    return {name: (getattr(sums, name) / rows).tolist() for name in STATISTICS}


def _map_data(attention: AttentionMap) -> dict[str, Any]:
    heads = [None, *range(len(attention.weights))]  # the mean first, and without it where there is one head
    remarks = [attention.remark(head) for head in (heads if len(heads) > 2 else heads[1:])]
    data: dict[str, Any] = attention.site._asdict() | {"statistics": map_statistics(attention), "remarks": remarks}
    return data | _units_data(attention)


def _with_readings(attention: AttentionMap, target: Target) -> dict[str, Any]:
    """Return a map with what other readings make of it; self-attention has none."""
    others = {name: _units_data(m) for name, maps in target.read.items() for m in maps if m.name == attention.name}
    return _map_data(attention) | ({"readings": others} if others and attention.site.kind == "cross" else {})


def _explained_data(found: Explanation, contrast: Explanation | None) -> dict[str, Any]:
    """Return what a method says of each word, and of each word beside its runner-up where the method knows that."""
    return {
        "kind": found.method,
        "meaning": found.meaning,
        "signed": found.signed,
        "source": found.source,
        "prefix": found.prefix,
        "said": _rows_data(found),
        "contrast": None if contrast is None else _rows_data(contrast),
    }


def _rows_data(found: Explanation) -> dict[str, Any]:
    values = torch.cat((found.from_source, found.from_prefix), dim=1)
    return {
        "rows": found.target,
        "values": [[float(f"{value:.4g}") for value in row] for row in values.tolist()],
        "logs": [round(value, 3) for value in found.log_probability.tolist()],
    }


def _units_data(attention: AttentionMap) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for unit in ("words", "pieces"):
        view = attention.view(unit)
        data[unit] = {
            "rows": view.query_labels,
            "columns": view.key_labels,
            "weights": (view.weights * ONE).round().int().tolist(),  # (heads, rows, columns)
            "nowhere": (view.nowhere * ONE).round().int().tolist(),  # (heads, rows)
        }
        if view.together is not None:
            data[unit]["together"] = (view.together * ONE).round().int().tolist()
    return data
