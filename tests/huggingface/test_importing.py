"""`seq2seq import`: the model that was imported says what transformers says."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import seq2seq
from seq2seq.data.batching import collate
from seq2seq.data.grammar import generate
from seq2seq.data.tokenizer import BOS
from seq2seq.decoding.search import BeamSearch, power_penalty
from seq2seq.huggingface.importing import read

LIMIT = 24
"""Tokens of a translation, the end counted; transformers counts the start, too."""

Command = Callable[..., Any]
LINES = ["The wolf sleeps .", "no , qx !", *(pair.source for pair in generate("test")[:10])]
MARIANS: list[dict[str, Any]] = [
    {},
    {"activation_function": "relu", "scale_embedding": False, "separate": True},
    {"activation_function": "gelu", "tie_word_embeddings": False},
]


class Pair:
    """A model of transformers, and what was imported of it."""

    def __init__(self, command: Command, folder: Path, output: Path, **languages: str) -> None:
        said = command(
            "import", f"from={folder}", f"output={output}", *(f"{key}={value}" for key, value in languages.items())
        )
        assert said.status == 0, said.err
        self.said = said.out
        self.ours = seq2seq.load(output, device="cpu")
        self.theirs: Any = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
        names = [languages.get(key, "") for key in ("source_language", "target_language")]
        found = read(folder, source_language=names[0], target_language=names[1])
        self.source_rows, self.target_rows = found.vocabularies[1:]
        if names[0]:
            self.tokenizer.src_lang = names[0]

    def their_source(self) -> Any:
        return self.tokenizer(LINES, return_tensors="pt", padding=True)

    def our_batch(self, targets: list[list[int]]) -> Any:
        sources = [self.ours.tokenizers.source.encode(line) for line in LINES]
        return collate([(source, target, i) for i, (source, target) in enumerate(zip(sources, targets, strict=True))])

    def beam(self, **options: Any) -> list[list[int]]:
        """Return the ids of transformers' own translations, the start, the end and padding apart."""
        with torch.no_grad():
            found = self.theirs.generate(**self.their_source(), early_stopping=True, **options)
        end, pad = self.theirs.config.eos_token_id, self.theirs.config.pad_token_id
        return [[i for i in ids if i not in (end, pad)] for ids in found[:, 1:].tolist()]


def check_same(pair: Pair, **options: Any) -> None:
    """Check ids of sources, logits, translations and their text."""
    theirs = pair.their_source()
    ours = pair.our_batch([[5, 9, 6], [7, 8]] * (len(LINES) // 2))
    read = [
        [pair.source_rows[i] for i in ids[:n]] for ids, n in zip(ours.source.tolist(), ours.source_lengths, strict=True)
    ]
    assert read == [
        ids[mask.bool()].tolist() for ids, mask in zip(theirs.input_ids, theirs.attention_mask, strict=True)
    ]

    rows = torch.tensor(pair.target_rows)
    with torch.no_grad():
        said = pair.theirs(**theirs, decoder_input_ids=rows[ours.target_input]).logits
        logits = pair.ours.network(
            ours.source, ours.source_mask, ours.source_lengths, ours.target_input, ours.target_indices
        )
    expected = said.flatten(0, 1)[ours.target_indices][:, rows]
    kept = [i for i in range(len(rows)) if i != BOS]
    assert_close(logits[:, kept], expected[:, kept], atol=1e-4, rtol=0)
    assert (logits[:, BOS] < -900).all()

    search = BeamSearch(beam_size=4, n_best=1, max_length=LIMIT, max_ratio=100.0, length_penalty=power_penalty(1.0))
    found = search(pair.ours.network, ours.source, ours.source_mask, ours.source_lengths)
    translations = [[pair.target_rows[i] for i in hypotheses[0].tokens] for hypotheses in found]
    # At the limit our search ends a sentence, theirs cuts it.
    theirs = pair.beam(**options)
    both = zip(translations, theirs, strict=True)
    whole = [ours == other for ours, other in both if max(len(ours), len(other)) < LIMIT - 1]
    assert all(whole) and len(whole) > 2, [len(ids) for ids in translations]

    said = pair.tokenizer.batch_decode(theirs, skip_special_tokens=True)
    decode = pair.ours.tokenizers.target.decode
    text = [decode([pair.target_rows.index(i) for i in ids]) for ids in theirs]
    assert text == [re.sub("__[a-z]+__", "", line).strip() for line in said]


@pytest.mark.parametrize("keys", MARIANS, ids=["shared", "separate", "untied"])
def test_marian_is_equal(command: Command, marian: Callable[..., Path], keys: dict[str, Any], tmp_path: Path) -> None:
    check_same(Pair(command, marian(**keys), tmp_path / "made.ckpt"))


def test_m2m100_is_equal(command: Command, m2m100: Path, tmp_path: Path) -> None:
    pair = Pair(command, m2m100, tmp_path / "made.ckpt", source_language="en", target_language="de")
    german = pair.tokenizer.get_lang_id("de")
    check_same(pair, forced_bos_token_id=german)
    assert pair.ours.tokenizers.target.pieces([pair.target_rows.index(german)]) == ["__de__"]


def test_nllb_is_equal(command: Command, nllb: Path, tmp_path: Path) -> None:
    pair = Pair(command, nllb, tmp_path / "made.ckpt", source_language="eng_Latn", target_language="deu_Latn")
    check_same(pair, forced_bos_token_id=pair.tokenizer.convert_tokens_to_ids("deu_Latn"))
