"""`seq2seq heads`: how much each attention head matters, as a table, as JSON and as a picture."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from seq2seq.alignment.heatmap import save_figure
from seq2seq.build import BleuOptions, bleu_options, build_extraction, build_search
from seq2seq.build_readings import how_to_read
from seq2seq.build_smaller import build_smaller
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.process.output import check_folder, enter_together, refuse_other_results, results_folder
from seq2seq.cli.subject import Subject, read_subject
from seq2seq.data.batching import Batch
from seq2seq.evaluation.evaluator import Evaluator, evaluate
from seq2seq.models.encoder_decoder import cross_attentions, site_of
from seq2seq.options import plain_data
from seq2seq.pruning import (
    Kept,
    Point,
    Unit,
    fewest_within,
    head_importance,
    heads_figure,
    in_order,
    normalized,
    units_of,
    with_fewer,
    without_each,
)

SCORES = ("bleu", "perplexity", "aer")
ENOUGH = 0.2
"""BLEU that may be lost, in the line that says how many heads can go."""


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("heads", arguments, text_keys=("checkpoint", "output", "tag"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if config.output:
        check_folder(Path(config.output))
    subject = read_subject(config)
    model, units = subject.model, units_of(subject.model)
    compared = bleu_options(config, subject.corpus, trained=subject.checkpoint.config)
    settings = settings_of(subject, compared)
    search, extraction = build_search(config.search), build_extraction(config.get("links"), subject.checkpoint)
    place = results_folder(config.output, config.checkpoint) / f"heads-{config.split}"
    refuse_other_results(place.with_suffix(".json"), settings)
    rows = subject.rows(config.sentences)
    batches = subject.batches(rows)
    # Without a choice from outside, the head that aligns best is the alignment: the one that was may be gone.
    readings, _ = how_to_read(None, subject.checkpoint.alignment, model)
    options = {"extraction": extraction, "readings": readings, **compared._asdict()}
    score = scorer(subject, batches, lambda: Evaluator(rows, subject.tokenizers, search, **options))
    single = [name for name in cross_attentions(model) if name.rpartition(".")[0] not in {u.attention for u in units}]
    for name in single:
        print(f"{name} has one head, which stays")
    with sharing_cores(subject.device):
        importance = head_importance(model, batches)
        alone: dict[Unit, dict[str, float]] = {}
        heads = list(printed_heads(importance, without_each(model, score), alone))
        loss = {unit: scores["perplexity"] for unit, scores in alone.items()}
        order = in_order(config.by, units, importance, lambda: loss, config.seed)
        points = list(printed_points(with_fewer(model, order, score)))
    gone = points[0].heads - fewest_within(points, ENOUGH).heads
    print(f"{gone} of {points[0].heads} heads can go for {ENOUGH} BLEU")
    result = settings | {
        "heads": heads,
        "curve": [{"heads": p.heads, "removed": [u._asdict() for u in p.removed[-1:]], **p.scores} for p in points],
        "can_go": gone,
    }
    figure = heads_figure(heads, points, title=f"{len(rows)} sentences of {config.split}; order: {config.by}")
    with enter_together(place.parent, "heads") as made:
        with (made / f"{place.name}.json").open("w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(result, file, indent=2, ensure_ascii=False)
        for suffix in (".png", ".svg"):
            save_figure(figure, made / f"{place.name}{suffix}")
    print(f"written to {place}.json, .png and .svg")


def settings_of(subject: Subject, compared: BleuOptions) -> dict[str, Any]:
    """Return all that the results depend on."""
    config, tag = subject.config, subject.tokenizers.source.tag
    return {
        **subject.settings(),
        "sentences": config.sentences,
        "by": config.by,
        "seed": config.seed if config.by == "random" else None,
        "search": plain_data(config.search),
        "links": plain_data(config.links) if config.get("links") else None,
        "max_length": subject.max_length,
        **compared._asdict(),
        **({"tag": tag} if tag else {}),
    }


def scorer(
    subject: Subject, batches: Iterable[Batch], evaluator: Callable[[], Evaluator]
) -> Callable[[Kept], dict[str, float]]:
    """Return what scores the model with the heads that it keeps: each time by a new evaluator of these batches."""

    def score(kept: Kept) -> dict[str, float]:
        small = build_smaller(subject.model, subject.checkpoint, subject.tokenizers, kept)[0]
        metrics = evaluate(small, batches, evaluator(), detailed=False).metrics
        return {name: metrics[name] for name in SCORES if name in metrics}

    return score


def printed_heads(
    importance: dict[str, Tensor],
    found: Iterable[tuple[Unit, dict[str, float] | None]],
    alone: dict[Unit, dict[str, float]],
) -> Iterator[dict[str, Any]]:
    """Yield a row a head, or group of heads that share keys, and print it as soon as it is known.

    Args:
        importance: of each attention's heads.
        found: every unit and the scores without it.
        alone: gets these scores.
    """
    print("attention         head   importance    normalized  without it:  BLEU  perplexity  AER, %")
    shares = normalized(importance)
    for unit, scores in found:
        site = site_of(unit.attention)
        raw, share = (x[unit.attention][list(unit.heads)].mean().item() for x in (importance, shares))
        print(f"{site!s:<16} {_numbers(unit):>5}  {raw:11.4f}  {share:12.3f}  {'':<11}{_shown(scores)}", flush=True)
        if scores:
            alone[unit] = scores
        row = {"attention": unit.attention, **site._asdict(), "heads": list(unit.heads)}
        yield row | {"importance": raw, "normalized": share, "without": scores}


def printed_points(points: Iterable[Point]) -> Iterator[Point]:
    """Yield the points of a curve, and print each as soon as it is known."""
    print("\nheads kept       also without            BLEU  perplexity  AER, %")
    for point in points:
        last = point.removed[-1] if point.removed else None
        name = f"{site_of(last.attention)} {_numbers(last)}" if last else ""
        print(f"{point.heads:>10}       {name:<21} {_shown(point.scores)}", flush=True)
        yield point


def _numbers(unit: Unit) -> str:
    """Return a unit's heads: `3`, or `4-7` where several share their keys."""
    return "-".join(str(head) for head in dict.fromkeys((unit.heads[0], unit.heads[-1])))


def _shown(scores: dict[str, float] | None) -> str:
    """Return scores as the columns of a table; of an attention's only head there are none."""
    if scores is None:
        return "   the only one of its attention"
    aer = f"  {100 * scores['aer']:6.1f}" if "aer" in scores else ""
    return f"{scores['bleu']:6.2f}  {scores['perplexity']:10.3f}{aer}"
