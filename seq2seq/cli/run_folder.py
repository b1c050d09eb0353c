"""What a run leaves in its folder beside checkpoints and logs, for people and for a comparison."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from seq2seq.alignment.archive import save_attention
from seq2seq.alignment.sentence import sentences_of_row
from seq2seq.cli.messages import explain
from seq2seq.cli.output import from_here, write_whole
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.errors import UserError
from seq2seq.evaluation.evaluator import Evaluation
from seq2seq.evaluation.inspection import inspect_pairs
from seq2seq.training.module import TranslationModule
from seq2seq.training.pictures import pinned_rows

FAILED = "error.txt"
"""What a failed run leaves in its folder: the line that says why."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder meanwhile; with the process ends its claim."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        place = from_here(folder)
        raise UserError(f"another process trains in {place} just now; give another folder, or stop it") from None


def mark_failed(folder: Path, error: Exception) -> None:
    """Leave a line in the run's folder, so that a comparison can say why there is no result."""
    if folder.is_dir():
        (folder / FAILED).write_text(f"{explain(error, 'train', [])}\n", encoding="utf-8", errors="backslashreplace")


def keep_results(
    folder: Path,
    pinned: list[int],
    data: TranslationDataModule,
    module: TranslationModule,
    evaluations: dict[str, Evaluation],
) -> None:
    """Write what a comparison needs beside the metrics: sentences, heads, and all attention of pinned sentences."""
    for split, evaluation in evaluations.items():
        with write_whole(folder / f"sentences-{split}.jsonl") as file:
            file.writelines(f"{json.dumps(sentence, ensure_ascii=False)}\n" for sentence in evaluation.sentences)
    with write_whole(folder / "heads.json") as file:
        json.dump({split: evaluation.heads for split, evaluation in evaluations.items()}, file, indent=2)
    pairs = [sentences_of_row(module.tokenizers, row) for row in pinned_rows(data.dataset("val"), pinned)]
    for number, (pair, maps) in enumerate(zip(pairs, inspect_pairs(module.model, pairs), strict=True), 1):
        save_attention(folder / "alignments" / f"sentence-{number}.npz", *pair, maps)
