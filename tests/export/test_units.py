"""Exports of models of other units than pieces, and of models that want a tag: they say what our search says."""

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
import torch

import seq2seq
from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.main import main
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import EOS, TokenizerConfig, Tokenizers
from seq2seq.data.units import ByteConfig, VocabularyConfig, WordConfig, tokenizer_of
from seq2seq.decoding.search import BeamSearch, GreedySearch, power_penalty
from seq2seq.export import ctranslate2 as exporter
from seq2seq.serving.ctranslate2 import CTranslate2Engine
from tests.checkpoints import write_random
from tests.cli.test_export import WithOnnx
from tests.sentences import sentences

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import MarianMTModel, MarianTokenizer

LIMIT = 30
SHARED: dict[str, Any] = {"joint": True, "normalization": "nfc"}
PIECES: dict[str, Any] = {"sampling": 0.0, "character_coverage": 1.0, "input_sentence_size": 0, **SHARED}
UNITS: dict[str, VocabularyConfig] = {
    "bpe": TokenizerConfig(model_type="bpe", vocab_size=120, **PIECES),
    "char": TokenizerConfig(model_type="char", vocab_size=100, **PIECES),
    "byte": ByteConfig(vocab_size=260, **SHARED),
    "word": WordConfig(vocab_size=150, min_count=1, **SHARED),
}
SMALL = ["model=transformer", "model.d_model=16", "model.num_layers=2", "encoder.num_heads=2", "decoder.num_heads=2"]
MARIAN = ["encoder.norm_first=false", "decoder.norm_first=false", "model.output_bias=true"]
PAIRS = sentences("val")[:100]
LINES = [*(pair.source for pair in PAIRS[:6]), "The <2de> naïve quokka ."]
MIXTURE = {"de": {"tag": "2de"}, "news": {"tag": "news"}}


@pytest.fixture(params=[("bpe", "2de"), ("char", ""), ("byte", "news"), ("word", "2de")], ids=lambda p: "-".join(p))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, Path]:
    """Units, a tag, and a checkpoint of a model that was trained with both."""
    units, tag = request.param
    return units, tag, write(tmp_path / "a.ckpt", units, tag, *SMALL, *MARIAN)


def write(file: Path, units: str, tag: str, *overrides: str) -> Path:
    made = tokenizer_of(UNITS[units].train(text for pair in PAIRS for text in pair[:2]))
    made = made.with_tags(["2de", "news"] if tag else [])
    corpora = MIXTURE if tag else None
    return write_random(file, Tokenizers(made, made), f"tokenizer={units}", *overrides, corpora=corpora)


def run(*arguments: str | Path) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue() if status == 0 else err.getvalue()


def searched(ours: seq2seq.Model, search: Any) -> list[list[int]]:
    batch = collate([(ours.tokenizers.source.encode(line), [], i) for i, line in enumerate(LINES)])
    found = search(ours.network, batch.source, batch.source_mask, batch.source_lengths)
    return [hypotheses[0].tokens for hypotheses in found]


def beam(size: int) -> BeamSearch:
    return BeamSearch(beam_size=size, n_best=1, max_length=LIMIT, max_ratio=99.0, length_penalty=power_penalty(1.0))


def test_ctranslate2_says_what_the_model_says(model: tuple[str, str, Path], tmp_path: Path) -> None:
    _, tag, file = model
    status, said = run("export", f"checkpoint={file}", "format=ctranslate2", f"output={tmp_path / 'made'}")
    assert status == 0, said
    ours = seq2seq.load(file, device="cpu", tag=tag or None)
    source, target = ours.tokenizers
    translator = ctranslate2.Translator(str(tmp_path / "made"), intra_threads=1)
    theirs = translator.translate_batch(
        [source.pieces(source.encode(line)) for line in LINES], beam_size=3, max_decoding_length=LIMIT,
        min_decoding_length=0, length_penalty=1, suppress_sequences=[["<pad>"], ["<s>"]],
    )  # fmt: skip
    found = [target.pieces(ids) for ids in searched(ours, beam(3))]
    assert [pieces for pieces in found if len(pieces) < LIMIT - 1] and len(set(map(tuple, found))) > 2
    assert found == [their.hypotheses[0][: LIMIT - 1] for their in theirs]
    engine = CTranslate2Engine(str(tmp_path / "made"), ours)
    assert [found[0].text for found in engine.translate(LINES[:2], beam_size=1, n_best=1)] == ours.translate(
        LINES[:2], search="greedy", max_ratio=1000.0
    )


def test_card_of_ctranslate2_translates(
    model: tuple[str, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units, tag, file = model
    monkeypatch.chdir(tmp_path)
    assert run("export", f"checkpoint={file}", "format=ctranslate2", "output=made")[0] == 0
    card = (tmp_path / "made" / "README.md").read_text()
    assert f" {units} |" in card and ("# tags: <2de>, <news>" in card) == bool(tag)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(card.partition("```python\n")[2].partition("```")[0], {})
    ours = seq2seq.load(file, device="cpu", tag="2de" if tag else None)
    (expected,) = ours.translate(
        ["A sentence ."], max_ratio=1000.0, length_penalty={"_target_": "seq2seq.decoding.search.power_penalty"}
    )
    assert out.getvalue()[:30] == f"{expected}\n"[:30]  # they have other limits of length


def test_huggingface_says_what_the_model_says_or_is_refused(model: tuple[str, str, Path], tmp_path: Path) -> None:
    units, tag, file = model
    status, said = run("export", f"checkpoint={file}", "format=huggingface", f"output={tmp_path / 'made'}")
    if units in ("byte", "word"):
        assert status == 1 and said.endswith("of Marian's shapes; this one needs tokenizer=bpe\n")
        assert not (tmp_path / "made").exists()
        return
    assert status == 0, said
    ours = seq2seq.load(file, device="cpu", tag=tag or None)
    theirs: Any = MarianMTModel.from_pretrained(tmp_path / "made").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cutting = MarianTokenizer.from_pretrained(tmp_path / "made")
    read = cutting([f">>{tag}<< {line}" if tag else line for line in LINES], return_tensors="pt", padding=True)
    for ids, line in zip(read.input_ids.tolist(), LINES, strict=True):
        expected = [*ours.tokenizers.source.encode(line), EOS]
        assert ids[: len(expected)] == expected
    with torch.no_grad():
        found = theirs.generate(**read, num_beams=3, max_length=LIMIT + 1)[:, 1:].tolist()
    other = [ids[: ids.index(EOS)] if EOS in ids else ids for ids in found]
    whole = [a == b for a, b in zip(searched(ours, beam(3)), other, strict=True) if max(len(a), len(b)) < LIMIT - 1]
    assert all(whole) and whole


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_onnx_says_what_the_model_says(tmp_path: Path) -> None:
    """Of bytes, and without attention: its graphs are the smallest."""
    tag = "news"
    sizes = ["model.d_model=8", "model.d_embedding=8", "model.num_layers=1", "model.tie_output=false"]
    file = write(tmp_path / "a.ckpt", "byte", tag, "model=bottleneck", *sizes)
    status, said = run("export", f"checkpoint={file}", "format=onnx", f"output={tmp_path / 'made'}")
    assert status == 0, said
    assert {"source.json", "target.json", "step.onnx"} < {path.name for path in (tmp_path / "made").iterdir()}
    ours = seq2seq.load(file, device="cpu", tag=tag)
    batch = collate([(ours.tokenizers.source.encode(line), [], i) for i, line in enumerate(LINES)])
    tokens, attention = WithOnnx(tmp_path / "made")(batch.source.numpy(), batch.source_lengths.numpy(), 9)
    assert attention == [None] * 9 and len(set(map(tuple, tokens.tolist()))) > 1
    for row, ids in zip(tokens.tolist(), searched(ours, GreedySearch(max_length=10, max_ratio=99.0)), strict=True):
        assert row[: len(ids)] == ids[:9]


@pytest.mark.parametrize("quantization", ["int8", "int16", "bfloat16"])
@pytest.mark.parametrize("model", [("char", "")], indirect=True, ids=["char"])
def test_quantization_leaves_the_model_as_it_was(
    model: tuple[str, str, Path], quantization: str, tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(model[2])
    network, tokenizers = load_model(checkpoint, torch.device("cpu"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        exporter.save(network, checkpoint, tokenizers, tmp_path / name, quantization=quantization)
    assert all(torch.equal(tensor, checkpoint.weights[name]) for name, tensor in network.state_dict().items())
    assert len({(tmp_path / name / "model.bin").read_bytes() for name in ("one", "two")}) == 1
    translator = ctranslate2.Translator(str(tmp_path / "two"), intra_threads=1)
    (found,) = translator.translate_batch([tokenizers.source.pieces(tokenizers.source.encode(LINES[0]))], beam_size=1,
                                          max_decoding_length=LIMIT)  # fmt: skip
    assert found.hypotheses[0]
