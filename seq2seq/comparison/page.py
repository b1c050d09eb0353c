"""The comparison as one page: the table, curves, phenomena, cost, and attention side by side."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Any

from plotly.offline import get_plotlyjs

from seq2seq.alignment.shares import LEAST, NOWHERE
from seq2seq.comparison.curves import Curve
from seq2seq.comparison.gallery import gallery, head_rows, show_run
from seq2seq.comparison.runs import read_sentences
from seq2seq.comparison.table import Comparison, format_cell, splits_of
from seq2seq.comparison.variants import Variant
from seq2seq.comparison.ways import Way, ways_as_data
from seq2seq.data.text import words
from seq2seq.evaluation.evaluator import LENGTHS
from seq2seq.evaluation.metrics import range_names
from seq2seq.pages import render_page

CURVES = ("val/bleu", "val/aer", "val/loss")
GROUPS = ("bleu_by_length", "exact_match", "aer_by_tag")
SCRIPTS = ("compare.js", "compare_plots.js", "compare_ways.js", "compare_gallery.js")


def collect_attention(variants: Sequence[Variant], split: str) -> dict[str, Any]:
    """Return the gallery and the heads; runs whose files cannot be read know it after this."""
    heads = {}
    for number, variant in enumerate(variants):
        run = show_run(variant)
        rows = head_rows(run, split) if run is not None else []
        if any(row["head"] is not None for row in rows):  # of a single head nothing is left to tell apart
            heads[number] = rows
    return {"gallery": gallery(variants), "heads": heads}


def as_page(
    table: Comparison,
    attention: dict[str, Any],
    ways: Sequence[Way],
    heads_kept: Sequence[list[dict[str, Any]]],
    title: str,
) -> str:
    """Return the page as HTML."""
    data = {
        "title": title,
        "split": table.split,
        "splits": splits_of(table.variants),
        "sentences": _sentences_by_length(table.variants),
        "columns": [column._asdict() for column in table.columns],
        "variants": [
            {
                "name": row.name,
                "seeds": row.seeds,
                "state": row.state,
                "story": row.story,
                "baseline": row.baseline,
                "cells": {
                    column.key: {"value": cell.value, "deviation": cell.deviation, "text": format_cell(row, column)}
                    for column in table.columns
                    if (cell := row.cells.get(column.key)) is not None
                },
                "curves": [_curves(run.curves) | {"seed": run.seed} for run in variant.runs],
                "groups": _groups(variant),
                "headsKept": curves,
            }
            for row, variant, curves in zip(table.rows, table.variants, heads_kept, strict=True)
        ],
        "notes": table.notes,
        "remarks": table.remarks,
        "nowhere": {"label": NOWHERE, "least": LEAST},
        "ways": ways_as_data(ways) if ways else None,
        **attention,
    }
    return render_page(title, data, scripts=SCRIPTS, libraries=[get_plotlyjs()])


def _curves(scalars: dict[str, Curve]) -> dict[str, Any]:
    """Return the learning curves; a value that is no number is left out."""
    shown = {}
    for tag in CURVES:
        if tag in scalars:
            points = [point for point in zip(*scalars[tag], strict=True) if math.isfinite(point[2])]
            factor = 100 if tag == "val/aer" else 1
            shown[tag] = {
                "steps": [step + 1 for step, *_ in points],  # Lightning counts them from 0
                "seconds": [round(seconds, 1) for _, seconds, _ in points],
                "values": [round(factor * value, 4) for *_, value in points],
            }
    return shown


def _sentences_by_length(variants: Sequence[Variant]) -> dict[str, dict[str, int]]:
    """Return by split how many sentences each range of source lengths has: a score of two of them says little."""
    found: dict[str, dict[str, int]] = {}
    for run in (run for variant in variants for run in variant.finished):
        for split in splits_of(variants):
            if split not in found and (run.folder / f"sentences-{split}.jsonl").exists():
                lengths = [len(words(row["source"])) for row in read_sentences(run, split)]
                counts = Counter(range_names(LENGTHS)[bisect_left(LENGTHS, length)] for length in lengths)
                if counts:  # else the file is damaged, and another run may have it whole
                    found[split] = dict(counts)
    return found


def _groups(variant: Variant) -> dict[str, dict[str, Any]]:
    """Return by split and kind what was scored in parts: by length or by phenomenon, means over seeds."""
    found: dict[str, dict[str, Any]] = {}
    names = dict.fromkeys(name for run in variant.finished for name in run.metrics)
    for name in names:
        split, _, rest = name.partition("/")
        kind, _, part = rest.partition("/")
        statistic = variant.statistic(name)
        if kind in GROUPS and part and statistic is not None:
            factor = 1 if kind == "bleu_by_length" else 100
            found.setdefault(split, {}).setdefault(kind, {})[part] = round(factor * statistic.mean, 2)
    return found
