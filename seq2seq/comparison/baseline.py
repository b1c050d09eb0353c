"""Links of another tool as a variant beside the runs: a row with an alignment error rate, and nothing else."""

from collections.abc import Sequence
from pathlib import Path

from seq2seq.build import build_corpus
from seq2seq.checkpoint import Checkpoint
from seq2seq.comparison.runs import Run
from seq2seq.comparison.variants import Variant
from seq2seq.errors import UserError
from seq2seq.evaluation.baseline import baseline_error_rate
from seq2seq.evaluation.by_corpus import without_links


def links_variant(path: str, runs: Sequence[Run], split: str) -> Variant:
    """Return a file of links of a split's pairs as a variant.

    Raises:
        UserError: no run has gold links of the split, its data is not here, or the file does not belong to it.
    """
    run = next((run for run in runs if f"{split}/aer" in run.metrics), None)
    if run is None:
        raise UserError(f"baseline_links={path}: no run has an alignment error rate on {split} to set beside it")
    try:
        pairs = list(build_corpus(None, Checkpoint(run.config, [], None, {}, run.where)).pairs(split))
    except Exception as error:  # whatever comes of data that has moved, or of a user's own class
        reason = " ".join(str(error).split())
        raise UserError(f"baseline_links={path}: the gold links of {run.where} cannot be read: {reason}") from error
    unlinked = without_links([pair.corpus for pair in pairs], [pair.links for pair in pairs])
    aer = baseline_error_rate(path, [(pair.source, pair.target, pair.links) for pair in pairs], unlinked=unlinked)
    name = Path(path).name
    return Variant(name, [Run(Path(path), path, name, None, {}, metrics={f"{split}/aer": aer})])
