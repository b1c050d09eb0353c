"""Attention to look at: the pinned sentences under every variant, and what every head does."""

import zipfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch

from seq2seq.alignment.archive import load_attention
from seq2seq.alignment.links import Link, parse_links
from seq2seq.alignment.maps import AttentionMap
from seq2seq.alignment.sentence import readable
from seq2seq.build import build_corpus
from seq2seq.checkpoint import BEST, AlignmentChoice, Checkpoint, read_checkpoint
from seq2seq.comparison.runs import Run, read_json, read_sentences
from seq2seq.comparison.variants import Variant
from seq2seq.errors import UserError

STATISTICS = ("aer", "agreement", "normalized_entropy", "entropy", "saturation", "sink_mass", "nowhere", "previous",
              "diagonal", "next")  # fmt: skip


def show_run(variant: Variant) -> Run | None:
    """Return the run whose attention stands for the variant: that of its first seed with any kept."""
    return next((run for run in variant.finished if any(_archives(run))), None)


def gallery(variants: Sequence[Variant]) -> list[dict[str, Any]]:
    """Return the sentences pinned in any variant: texts, and by variant's number its map and its translation."""
    sentences: dict[tuple[str, str], dict[str, Any]] = {}
    for number, variant in enumerate(variants):
        run = show_run(variant)
        if run is None:
            continue
        choice = _choice(run)
        translations = {}
        if (run.folder / "sentences-val.jsonl").exists():
            rows = read_sentences(run, "val")
            translations = {(row["source"], row["reference"]): row["hypothesis"] for row in rows}
        for path in _archives(run):
            try:
                if not zipfile.is_zipfile(path):  # NumPy would leave it open
                    raise ValueError("cut off or no archive")
                saved = load_attention(path)
                if not all(torch.isfinite(attention.weights).all() for attention in saved.maps):
                    raise ValueError("it holds nan or inf")
                cross = [attention for attention in saved.maps if attention.site.kind == "cross"]
                # As it reads: a script without spaces is shown piece by piece.
                query, key = readable(saved.target).ending(), readable(saved.source).ending()
                shown = _chosen([attention._replace(query=query, key=key) for attention in cross], choice)
            except Exception as error:  # whatever NumPy and zlib make of broken bytes
                lines = str(error).strip().splitlines() or [type(error).__name__]
                run.problems.append(f"{path.name}: it cannot be read ({lines[0]})")
                continue
            pair = saved.source.text, saved.target.text
            entry = sentences.setdefault(pair, {"source": pair[0], "target": pair[1], "maps": {}, "gold": None})
            entry["maps"][number] = {**shown, "seed": run.seed, "translation": translations.get(pair)}
    for pair, gold in _gold([run for variant in variants for run in variant.finished], set(sentences)).items():
        sentences[pair]["gold"] = gold
    return list(sentences.values())


def _gold(runs: Sequence[Run], pairs: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, list[Link]]]:
    """Return the gold links of validation pairs, as far as there are any and the data are at hand."""
    run = next((run for run in runs if "val/aer" in run.metrics), None)
    found: dict[tuple[str, str], dict[str, list[Link]]] = {}
    if run is None or not pairs:
        return found
    with suppress(Exception):  # the runs may be looked at where their data are not: then nothing is outlined
        for pair in build_corpus(None, Checkpoint(run.config, [], None, {}, run.where)).pairs("val"):
            if (pair.source, pair.target) in pairs:
                links = parse_links(pair.links)
                possible = sorted(links.possible - links.sure)
                found[pair.source, pair.target] = {"sure": sorted(links.sure), "possible": possible}
    return found


def _archives(run: Run) -> list[Any]:
    paths = (run.folder / "alignments").glob("sentence-*.npz")
    return sorted(paths, key=lambda path: (len(path.name), path.name))


def _choice(run: Run) -> AlignmentChoice | None:
    """Return whose weights are the run's alignment, as its best checkpoint says; None where it has none."""
    path = run.folder / "checkpoints" / BEST
    if not path.exists():
        return None
    try:
        return read_checkpoint(path).alignment
    except UserError as error:
        run.problems.append(str(error).replace(str(run.folder), run.where))
        return None


def _chosen(cross: list[AttentionMap], choice: AlignmentChoice | None) -> dict[str, Any]:
    """Return the shares between words of the chosen head, without a choice of the last layer's mean over heads."""
    if not cross:
        return {"values": None, "head": "no attention"}
    found = next((attention for attention in cross if choice and attention.name == choice.layer), cross[-1])
    head = choice.head if choice and found.name == choice.layer else None
    view = found.view("words")
    several = len(view.weights) > 1
    weights, rest = view.of(head)
    layers = len(cross) > 1
    label = f"layer {found.site.layer}, " if layers else ""
    label += (f"head {head}" if head is not None else "mean of heads") if several else "one head"
    values = [[round(value, 3) for value in row] for row in weights.tolist()]
    return {
        "values": values,
        "nowhere": [round(value, 3) for value in rest.tolist()],
        "rows": view.query_labels,
        "columns": view.key_labels,
        "head": label,
        "remark": found.remark(head),
    }


def head_rows(run: Run, split: str) -> list[dict[str, Any]]:
    """Return a row a head of a split (else of val): place, head, statistics; none where there are none to read."""
    path = run.folder / "heads.json"
    if not path.exists():
        return []
    try:
        content = read_json(path)
        rows = content.get(split) or content.get("val") or []
        return [
            {"kind": str(row["kind"]), "layer": int(row["layer"]), "head": row["head"]}
            | {name: round(float(row[name]), 4) for name in STATISTICS if name in row}
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        run.problems.append("heads.json: it cannot be read")
        return []
