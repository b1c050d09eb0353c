"""Sentences a second of search with a beam of 5."""

import time
from typing import Any

import numpy as np
import torch

from gpu.learning import GRAMMAR, MULTI30K
from gpu.parts import SMALL, SMALL_TRANSFORMER, Setting, compose, random_batches, tokenizers
from gpu.report import Report
from seq2seq.build import build_model, load_model
from seq2seq.checkpoint import LAST, read_checkpoint
from seq2seq.data.grammar import generate
from seq2seq.decoding.search import BeamSearch, wu_penalty
from seq2seq.decoding.translator import Translator

TABLE = "Decoding, beam 5"
SIZES = (4096, 16384, 65536)
"""Padded source tokens a batch."""


def run(setting: Setting, report: Report) -> None:
    """Translate with what earlier stages trained, and with the base Transformer, untrained."""
    for name in (GRAMMAR, MULTI30K):
        checkpoint = setting.folder / name / "checkpoints" / LAST
        if checkpoint.exists() and setting.left > 5:
            _trained(name, str(checkpoint), setting, report)
    _untrained(setting, report)


def _search(**options: Any) -> BeamSearch:
    usual: dict[str, Any] = {"beam_size": 5, "n_best": 1, "max_length": 200, "max_ratio": 2.0}
    return BeamSearch(**usual | {"length_penalty": wu_penalty(1.0)} | options)


def _trained(name: str, checkpoint: str, setting: Setting, report: Report) -> None:
    model, words = load_model(read_checkpoint(checkpoint), setting.device)
    lines = [pair.source for pair in generate("test")]
    if name == MULTI30K and setting.data is not None:
        found = sorted(setting.data.rglob("tokenized/test_2016_flickr.en")) or sorted(setting.data.rglob("test*.en"))
        lines = found[0].read_text(encoding="utf-8").splitlines() if found else lines
    lines = lines[:4] if setting.rehearsal else lines[:2000]
    for size in (256,) if setting.rehearsal else SIZES:
        translator = Translator(model, words, tokens_per_batch=size, max_length=200)
        search = _search(max_length=9) if setting.rehearsal else _search()
        for precision in (None,) if setting.rehearsal else (None, torch.bfloat16):
            seconds = []
            for _ in range(1 if setting.rehearsal else 3):  # the first warms up
                begin = time.perf_counter()
                with torch.autocast(setting.device.type, precision, enabled=precision is not None):
                    translated = list(translator.translate(lines, search))
                seconds.append(time.perf_counter() - begin)
            precise = "float32" if precision is None else "bf16"
            cells = {"model": f"trained on {name}", "precision": precise, "batch": size, "sentences": len(translated)}
            report.row(TABLE, cells | {"sentences/s": len(lines) / min(seconds)})


def _untrained(setting: Setting, report: Report) -> None:
    """Random weights hardly ever end a sentence: each goes on to its limit, its source's length and 10 tokens more."""
    overrides, vocab_size = ["experiment=wmt14_ende"], 37000
    if setting.rehearsal:
        overrides, vocab_size = [*overrides, *SMALL, *SMALL_TRANSFORMER], 211
    torch.manual_seed(1)
    model = build_model(compose(overrides), tokenizers(vocab_size)).to(setting.device).eval()
    for size in (64,) if setting.rehearsal else SIZES:
        batches = random_batches(size, vocab_size, 1 if setting.rehearsal else 3)
        search, rates = _search(max_ratio=1.0, max_length=5 if setting.rehearsal else 200), []
        for batch in (batch.to(setting.device) for batch in batches):
            if setting.left < 5 and not setting.rehearsal:
                return
            begin = time.perf_counter()
            with torch.autocast(setting.device.type, torch.bfloat16, enabled=not setting.rehearsal):
                found = search(model, batch.source, batch.source_mask, batch.source_lengths)
            rates.append(len(found) / (time.perf_counter() - begin))
        precise = "float32" if setting.rehearsal else "bf16"
        cells = {"model": "Transformer base, untrained", "precision": precise, "batch": size}
        report.row(TABLE, cells | {"sentences": sum(map(len, batches)), "sentences/s": float(np.median(rates))})
