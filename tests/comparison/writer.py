"""Folders as `seq2seq train` leaves them, without the training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch.utils.tensorboard import SummaryWriter

from seq2seq.alignment.archive import save_attention
from seq2seq.alignment.maps import attention_maps
from seq2seq.alignment.sentence import Sentence

SOURCES = ["the dog sleeps .", "a cat sees the old dog .", "he knows that the cat sleeps .", "the dog has a cat ."]
REFERENCES = [
    "der Hund schläft .",
    "eine Katze sieht den alten Hund .",
    "er weiß , dass die Katze schläft .",
    "der Hund hat eine Katze .",
]


def rows(hypotheses: Sequence[str], references: Sequence[str] = REFERENCES) -> list[dict[str, Any]]:
    """Return what `sentences-<split>.jsonl` holds."""
    return [
        {"source": SOURCES[i % 4], "reference": reference, "tags": "number", "hypothesis": hypothesis}
        for i, (hypothesis, reference) in enumerate(zip(hypotheses, references, strict=True))
    ]


def write_run(
    folder: Path,
    *,
    variant: str = "luong-general",
    seed: int = 1,
    config: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    sentences: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    curves: Mapping[str, Sequence[float]] | None = None,
    pinned: Sequence[Any] = (),
    heads: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> Path:
    """Write a run's folder and return it.

    Args:
        folder: where.
        variant: the name of the run without its seed.
        seed: of the run.
        config: dotted keys that differ from the common configuration.
        metrics: of `metrics.json`; None for a run that has not finished.
        sentences: by split.
        curves: values by tag, a value every 10 steps.
        pinned: weights (heads, target words + 1, source words + 1) of the first sentences; None for no attention.
        heads: of `heads.json`.
        error: what `error.txt` says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = OmegaConf.create(
        {
            "seed": seed,
            "run_name": f"{variant}-s{seed}",
            "output": str(folder),
            "resume": False,
            "loader": {"cache_dir": "cache"},
            "metrics": {"tokenize": None, "lowercase": False},
            "callbacks": {"last": {"dirpath": f"{folder}/checkpoints"}},
            "encoder": {"dropout": 0.1},
            "model": {"name": variant, "dropout": 0.1},
            "data": {"_target_": "seq2seq.data.corpus.GrammarCorpus", "seed": 0},
        }
    )
    for key, value in (config or {}).items():
        OmegaConf.update(made, key, value, merge=False, force_add=True)
    OmegaConf.save(made, folder / "config.yaml")
    if error is not None:
        (folder / "error.txt").write_text(f"{error}\n", encoding="utf-8")
    if curves:
        with SummaryWriter(folder) as board:
            for tag, values in [*curves.items(), ("epoch", list(range(len(next(iter(curves.values()))))))]:
                for number, value in enumerate(values):
                    board.add_scalar(tag, value, 10 * number + 9, walltime=1000.0 + 60 * number)
    for split, lines in (sentences or {}).items():
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        (folder / f"sentences-{split}.jsonl").write_text(text, encoding="utf-8")
    for number, weights in enumerate(pinned):
        write_attention(folder / "alignments" / f"sentence-{number + 1}.npz", number, weights)
    if heads is not None:
        (folder / "heads.json").write_text(json.dumps(heads), encoding="utf-8")
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps({"seed": seed, **metrics}), encoding="utf-8")
    return folder


def write_attention(path: Path, number: int, weights: Any, *, source: str = "", target: str = "") -> None:
    """Write the attention of a pinned sentence, every word of it a single piece."""
    read, said = _sentence(source or SOURCES[number]), _sentence(target or REFERENCES[number])
    record = {} if weights is None else {"decoder.attention": torch.as_tensor(weights, dtype=torch.float32)[None]}
    save_attention(path, read, said, attention_maps(record, 0, read, said))


def _sentence(text: str) -> Sentence:
    words = text.split()
    return Sentence(text, list(range(len(words))), [f"▁{word}" for word in words], words, list(range(len(words))))
