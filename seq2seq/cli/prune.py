"""`seq2seq prune`: a checkpoint without the heads that matter least."""

import logging
import sys
from pathlib import Path
from typing import Any

from seq2seq.build import build_extraction
from seq2seq.build_readings import how_to_read
from seq2seq.build_smaller import build_smaller
from seq2seq.checkpoint_writing import check_new_file, write_model
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.subject import read_subject
from seq2seq.decoding.search import GreedySearch
from seq2seq.errors import UserError
from seq2seq.evaluation.evaluator import Evaluator, evaluate
from seq2seq.pruning import (
    Kept,
    Unit,
    check_cut,
    forced_loss,
    head_importance,
    in_order,
    kept_after,
    removed_for,
    units_of,
    without_each,
)

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("prune", arguments, text_keys=("checkpoint", "output", "tag"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if type(config.heads) is not int:
        raise UserError(f"heads={config.heads}: expected how many heads are left, such as heads=12")
    output = Path(config.output)
    check_new_file(output, [config.checkpoint], example="pruned.ckpt")
    subject = read_subject(config)
    model, checkpoint, tokenizers = subject.model, subject.checkpoint, subject.tokenizers
    units = units_of(model)
    removed_for(units, config.heads)  # a number that cannot be is refused before the work
    rows = subject.rows(config.sentences)
    batches = subject.batches(rows)
    extraction = build_extraction(config.get("links"), checkpoint)

    def loss_without() -> dict[Unit, float]:
        def score(kept: Kept) -> dict[str, float]:
            return {"loss": forced_loss(build_smaller(model, checkpoint, tokenizers, kept)[0], batches)}

        return {unit: scores["loss"] for unit, scores in without_each(model, score) if scores}

    with sharing_cores(subject.device):
        importance = head_importance(model, batches) if config.by.endswith("importance") else {}
        order = in_order(config.by, units, importance, loss_without, config.seed)
        kept = kept_after(model, removed_for(order, config.heads))
        small, plain = build_smaller(model, checkpoint, tokenizers, kept)
        check_cut(model, small, kept)
        # The alignment is chosen anew, since its head may be gone: by forced decoding, so the search is a mere token.
        search = GreedySearch(max_length=1, max_ratio=1.0)
        readings, _ = how_to_read(None, checkpoint.alignment, model)
        options: dict[str, Any] = {"readings": readings, "tokenize": "none", "lowercase": False}
        evaluator = Evaluator(rows, tokenizers, search, extraction=extraction, **options)
        found = evaluate(small, batches, evaluator, detailed=False)
    write_model(output, small.state_dict(), config=plain, tokenizers=checkpoint.tokenizers, alignment=found.alignment)
    before, after = (sum(parameter.numel() for parameter in m.parameters()) for m in (model, small))
    print(f"{config.heads} of {sum(len(unit.heads) for unit in units)} heads, {after:,} of {before:,} parameters")
    for name, heads in kept.items():
        print(f"  {name}: {', '.join(map(str, heads))}")
    aer = f", AER {100 * found.metrics['aer']:.1f} %" if "aer" in found.metrics else ""
    print(f"perplexity {found.metrics['perplexity']:.3f}{aer} on {config.split}; written to {output}")
