"""`seq2seq export`: what another program reads back says what the model says."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import onnxruntime
import pytest
import sentencepiece
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_model as load_safetensors
from torch.testing import assert_close

from seq2seq.attention import record_attention
from seq2seq.build import build_model, load_model
from seq2seq.checkpoint import AlignmentChoice, Checkpoint, read_checkpoint
from seq2seq.cli.keys.shorthand import expand
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import BOS, EOS, PAD, Tokenizers
from seq2seq.decoding.search import BeamSearch, GreedySearch, power_penalty
from seq2seq.export import ctranslate2 as to_ctranslate2
from seq2seq.export import onnx as to_onnx
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults
from seq2seq.unfinished import part_of

Command = Callable[..., Any]
MAX_LENGTH = 20
PRUNED = ["encoder.kept_heads=[[0,2],[3]]", "decoder.kept_heads=[[1],[0,1,2]]"]
"""Of a Transformer of two layers of four heads."""


@pytest.fixture
def sentences(text_folder: Path) -> list[str]:
    return (text_folder / "test.source").read_text(encoding="utf-8").splitlines()


def untrained(run: Any, *overrides: str) -> tuple[EncoderDecoder, Checkpoint, Tokenizers]:
    """Return a random model with the tokenizers of a run; large weights, so that every part matters."""
    checkpoint = read_checkpoint(run.best)
    tokenizers = load_model(checkpoint, torch.device("cpu"))[1]
    (given,) = expand(["model.d_model=16", "model.d_embedding=16", *overrides])
    config = compose_defaults("train", given)
    torch.manual_seed(1)
    model = build_model(config, tokenizers).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.05 * torch.randn_like(parameter))
    return model, checkpoint, tokenizers


def hypotheses(model: EncoderDecoder, tokenizers: Tokenizers, lines: list[str], search: Any) -> list[Any]:
    batch = collate([(tokenizers.source.encode(line), [], i) for i, line in enumerate(lines)])
    return [found[0] for found in search(model, batch.source, batch.source_mask, batch.source_lengths)]


def beam(size: int) -> BeamSearch:
    return BeamSearch(
        beam_size=size, n_best=1, max_length=MAX_LENGTH, max_ratio=100.0, length_penalty=power_penalty(1.0)
    )


def with_ctranslate2(folder: Path, lines: list[str], beam_size: int) -> list[Any]:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    translator = ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=1)
    return translator.translate_batch(
        [processor.encode(line, out_type=str) for line in lines],
        beam_size=beam_size, max_decoding_length=MAX_LENGTH, min_decoding_length=0, length_penalty=1,
        return_scores=True, return_attention=True, suppress_sequences=[["<pad>"], ["<s>"]],
    )  # fmt: skip


def check_same(tokenizers: Tokenizers, ours: list[Any], theirs: list[Any]) -> None:
    """Check tokens and scores: at the limit our search ends a sentence, CTranslate2 cuts it."""
    for mine, other in zip(ours, theirs, strict=True):
        assert tokenizers.target.pieces(mine.tokens) == other.hypotheses[0][: MAX_LENGTH - 1]
        if len(mine.tokens) < MAX_LENGTH - 1:
            assert mine.score == pytest.approx(other.scores[0], rel=1e-3)


def forbid(model: Any) -> None:
    """Make improbable what no translation contains: CTranslate2 leaves it out before its softmax, our search after."""
    model.decoder.norm.bias[0] += 10
    model.output.weight[:, 0] = 0
    model.output.weight[[PAD, BOS]] = 0
    model.output.weight[[PAD, BOS], 0] = -5


def test_ctranslate2_translates_as_the_trained_model_does(
    command: Command, transformer: Any, sentences: list[str], tmp_path: Path
) -> None:
    said = command("export", f"checkpoint={transformer.best}", "format=ctranslate2", "output=a folder/made")
    assert said.status == 0 and said.err == ""
    folder = tmp_path / "a folder" / "made"
    names = [
        "README.md",
        "alignment.png",
        "config.json",
        "model.bin",
        "shared_vocabulary.json",
        "source.spm",
        "target.spm",
    ]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert said.out.splitlines() == [f"a folder/made/{name}" for name in names]
    model, tokenizers = load_model(read_checkpoint(transformer.best), torch.device("cpu"))
    check_same(tokenizers, hypotheses(model, tokenizers, sentences, beam(1)), with_ctranslate2(folder, sentences, 1))


def test_ctranslate2_ends_sentences_where_our_search_does(
    transformer: Any, sentences: list[str], tmp_path: Path
) -> None:
    model, checkpoint, tokenizers = untrained(transformer, "model=transformer", "model.tie_output=false")
    with torch.no_grad():
        model.output.weight[EOS] *= 4  # so that sentences end at all lengths
        forbid(model)
        to_ctranslate2.save(model, checkpoint._replace(alignment=None), tokenizers, tmp_path)
    (tmp_path / "source.spm").write_bytes(tokenizers.source.model_proto)
    ours = hypotheses(model, tokenizers, sentences, beam(1))
    assert len({len(found.tokens) for found in ours}) > 1 and any(len(found.tokens) < 10 for found in ours)
    check_same(tokenizers, ours, with_ctranslate2(tmp_path, sentences, 1))


@pytest.mark.parametrize("overrides", [
    ["encoder.norm_first=false", "decoder.norm_first=false"],
    ["encoder.num_heads=4", "decoder.num_heads=2", "encoder.num_layers=1"],
    ["positions=learned"],
    ["positions=none"],
    ["positions=rotary"],
    ["positions=t5"],
    ["positions=t5", "encoder.positions.max_distance=40", "decoder.positions.max_distance=40"],
    ["positions=shaw", "encoder.positions.max_distance=3", "decoder.positions.max_distance=3"],
    ["num_key_heads=2"],
    ["num_key_heads=1", "positions=rotary"],
    ["model.tie_embeddings=false", "model.tie_output=false"],
    [*PRUNED, "positions=t5", "decoder.kept_cross_heads=[[1,3],[0]]"],
    ["num_key_heads=2", "encoder.kept_heads=[[2,3],[0,1]]", "decoder.kept_cross_heads=[[2,3],[0,1]]"],
    [*PRUNED, "num_key_heads=1", "decoder.kept_cross_heads=[[0,2,3],[0]]"],
], ids=lambda overrides: " ".join(overrides)[:40])  # fmt: skip
@pytest.mark.parametrize("head", [1, None])
def test_ctranslate2_knows_every_variant_and_the_chosen_head(
    transformer: Any, sentences: list[str], tmp_path: Path, overrides: list[str], head: int | None
) -> None:
    model, checkpoint, tokenizers = untrained(transformer, "model=transformer", "model.num_layers=2", *overrides)
    choice = AlignmentChoice("decoder.layers.0.cross_attention.attention", head)
    with torch.no_grad():
        to_ctranslate2.save(model, checkpoint._replace(alignment=choice), tokenizers, tmp_path)
    (tmp_path / "source.spm").write_bytes(tokenizers.source.model_proto)
    ours = hypotheses(model, tokenizers, sentences[:4], beam(1))
    theirs = with_ctranslate2(tmp_path, sentences[:4], 1)
    check_same(tokenizers, ours, theirs)
    for i, (line, found, other) in enumerate(zip(sentences, ours, theirs, strict=False)):
        batch = collate([(tokenizers.source.encode(line), found.tokens, i)])
        with torch.no_grad(), record_attention(model) as record:
            model(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
        weights = record[choice.layer][0]
        weights = weights.mean(0) if head is None else weights[head]
        given = torch.tensor(other.attention[0])
        assert_close(given, weights[: len(given), : given.shape[1]], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("overrides, part", [
    (["score=general"], "GeneralScore|General"),
    (["encoder.self_normalizer.temperature=0.5"], "Softmax"),
    (["positions=alibi"], "AlibiPositions.*format=onnx"),
    (["encoder.pattern=window"], "Window.*format=onnx"),
    (["normalizer=sink"], "Sink.*format=onnx"),
    (["gate=true", "decoder.pattern=chunked"], "encoder.* has a gate; use format=onnx"),
    (["model.d_embedding=8", "model.tie_output=false"], "model.d_embedding"),
])  # fmt: skip
def test_what_ctranslate2_does_not_know_is_named(
    transformer: Any, tmp_path: Path, overrides: list[str], part: str
) -> None:
    model, checkpoint, tokenizers = untrained(transformer, "model=transformer", *overrides)
    with pytest.raises(Exception, match=part) as raised, torch.no_grad():
        to_ctranslate2.save(model, checkpoint, tokenizers, tmp_path)
    assert type(raised.value).__name__ == "UserError" and list(tmp_path.iterdir()) == []


class WithOnnx:
    """Greedy search on the two graphs alone."""

    def __init__(self, folder: Path) -> None:
        self.begin, self.step = (onnxruntime.InferenceSession(str(folder / f"{n}.onnx")) for n in ("begin", "step"))
        self.graphs = json.loads((folder / "graphs.json").read_text())

    def __call__(self, source: np.ndarray, lengths: np.ndarray, steps: int) -> tuple[np.ndarray, list[Any]]:
        """Return tokens (batch, steps), and each step's weights (batch, 1, source)."""
        given = {"source": source, "source_lengths": lengths}
        state = dict(zip(self.graphs["state"], self.begin.run(None, given), strict=True))
        wanted = {node.name for node in self.step.get_inputs()}
        outputs = [node.name for node in self.step.get_outputs()]
        tokens, attention = [np.full((len(source), 1), self.graphs["bos"])], []
        for place in range(steps):
            given = {"tokens": tokens[-1], "place": np.array(place), **state}
            given = {name: x for name, x in given.items() if name in wanted}
            found = dict(zip(outputs, self.step.run(None, given), strict=True))
            state |= {name: found[f"{name}_next"] for name in self.graphs["beams"]}
            found["logits"][..., [self.graphs["pad"], self.graphs["bos"]]] = -np.inf
            tokens.append(found["logits"].argmax(-1))
            attention.append(found.get("attention"))
        return np.concatenate(tokens[1:], 1), attention


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("overrides", [
    ["model=luong", "model.rnn=LSTM", "decoder.input_feeding=true", "score=location"],
    ["model=transformer", "normalizer=entmax15",
     "encoder.pattern=bigbird", "encoder.positions=random", "encoder.self_score=general",
     "encoder.self_normalizer=topk", "decoder.pattern=chunked", "decoder.positions=learned",
     "decoder.self_score=linear", "score=cosine"],
    ["model=bahdanau", "normalizer=monotonic", "score=coverage"],
    ["model=luong", "encoder=transformer", "cross_pattern=local_p", "score=dot", "encoder.positions=t5",
     "encoder.num_key_heads=2"],
    ["model=transformer", "encoder=recurrent", "score=location", "decoder.self_score=performer", "normalizer=sink"],
    ["model=transformer", "encoder.self_score=synthesizer", "encoder.pattern=dilated", "decoder.positions=t5",
     "decoder.num_key_heads=2", "gate=true", "score=uniform", "cross_pattern=fixed", "decoder.num_layers=2"],
    ["model=transformer", "positions=alibi", "pattern=window", "self_normalizer=log_length"],
    ["model=transformer", "positions=shaw", "self_normalizer=differential", "normalizer=sigmoid",
     "encoder.norm_first=false", "decoder.norm_first=false", "model.output_bias=true"],
    ["model=transformer", "positions=rotary", "cross_pattern=local_m", "normalizer=leaky",
     "encoder.kept_heads=[[0,2]]", "decoder.kept_heads=[[0,1,2]]", "decoder.kept_cross_heads=[[0,3]]"],
], ids=lambda overrides: " ".join(overrides[:3]))  # fmt: skip
def test_onnx_graphs_search_as_the_model_does(
    bahdanau: Any, sentences: list[str], tmp_path: Path, overrides: list[str]
) -> None:
    model, checkpoint, tokenizers = untrained(bahdanau, "model.num_layers=1", *overrides)
    choice = AlignmentChoice("decoder.attention", None)
    if layers := len(getattr(model.decoder, "layers", [])):  # one, but for one model: each costs the exporter seconds
        choice = AlignmentChoice(f"decoder.layers.{layers - 1}.cross_attention.attention", 1)
    with torch.no_grad():
        to_onnx.save(model, checkpoint._replace(alignment=choice), tokenizers, tmp_path)
    search, steps = WithOnnx(tmp_path), 9
    batch = collate([(tokenizers.source.encode(line), [], i) for i, line in enumerate(sentences[:5])])
    tokens, attention = search(batch.source.numpy(), batch.source_lengths.numpy(), steps)
    ours = hypotheses(model, tokenizers, sentences[:5], GreedySearch(max_length=steps + 1, max_ratio=100.0))
    for found, row in zip(ours, tokens.tolist(), strict=True):
        until = row.index(EOS) if EOS in row else steps
        assert row[:until] == found.tokens[:steps]
    assert len({tuple(row) for row in tokens.tolist()}) > 1
    target = torch.from_numpy(np.concatenate((np.full((5, 1), BOS), tokens[:, :-1]), 1))
    with torch.no_grad(), record_attention(model) as record:
        state = model.begin(batch.source, batch.source_mask, batch.source_lengths)
        model.decoder(target, state)
    weights = record[choice.layer]
    weights = weights.mean(1) if choice.head is None else weights[:, choice.head]
    assert_close(torch.from_numpy(np.concatenate(attention, 1)), weights, atol=1e-4, rtol=1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_onnx_from_the_command_line(
    command: Command, bahdanau: Any, sentences: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    exporter, heard = logging.getLogger("torch.onnx"), BufferingHandler(99)
    exporter.addHandler(heard)
    said = command("export", f"checkpoint={bahdanau.best}", "format=onnx", "output=made")
    exporter.removeHandler(heard)
    assert heard.buffer == []  # such as of torchvision, which nobody needs
    assert said.status == 0
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "README.md", "alignment.png", "begin.onnx", "graphs.json", "source.spm", "step.onnx", "target.spm",
    ]  # fmt: skip
    search = WithOnnx(tmp_path / "made")
    assert [node.name for node in search.step.get_outputs()] == ["logits", "beam0_next", "attention"]
    model, tokenizers = load_model(read_checkpoint(bahdanau.best), torch.device("cpu"))
    batch = collate([(tokenizers.source.encode(line), [], i) for i, line in enumerate(sentences)])
    tokens, _ = search(batch.source.numpy(), batch.source_lengths.numpy(), 6)
    ours = hypotheses(model, tokenizers, sentences, GreedySearch(max_length=7, max_ratio=100.0))
    assert [row[: len(found.tokens)] for row, found in zip(tokens.tolist(), ours, strict=True)] == [
        found.tokens[:6] for found in ours
    ]
    monkeypatch.chdir(tmp_path)
    exec((tmp_path / "made" / "README.md").read_text().partition("```python\n")[2].partition("```")[0], {})
    printed = capsys.readouterr().out
    translated = command("translate", f"checkpoint={bahdanau.best}", "search=greedy", stdin=b"A sentence .\n")
    assert translated.out[:40].strip() == printed[:40].strip() != ""  # they have other limits of length


@pytest.mark.parametrize("kind", ["bahdanau", "transformer"])
def test_safetensors_hold_all_weights_and_the_configuration(
    command: Command, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    run = request.getfixturevalue(kind)
    assert command("export", f"checkpoint={run.best}", "format=safetensors", "output=made").status == 0
    model, tokenizers = load_model(read_checkpoint(run.best), torch.device("cpu"))
    config = json.loads((tmp_path / "made" / "config.json").read_text())
    assert config == read_checkpoint(run.best).config
    again = build_model(OmegaConf.create(config), tokenizers)
    load_safetensors(again, tmp_path / "made" / "model.safetensors")
    expected = model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())
    assert (tmp_path / "made" / "target.spm").read_bytes() == tokenizers.target.model_proto


@pytest.mark.parametrize("format, hint", [("ctranslat2", "did you mean ctranslate2?"), ("pickle", "there are ")])
def test_unknown_format_is_refused(command: Command, bahdanau: Any, tmp_path: Path, format: str, hint: str) -> None:
    said = command("export", f"checkpoint={bahdanau.best}", f"format={format}", "output=made")
    assert said.status == 1 and f"format={format} is not known; {hint}" in said.err and list(tmp_path.iterdir()) == []


def test_recurrent_model_is_no_transformer(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    said = command("export", f"checkpoint={bahdanau.best}", "format=ctranslate2", "output=made")
    assert said.status == 1 and said.err.count("\n") == 1 and "use format=onnx" in said.err
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_goes_with_the_next(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for process in (dead.pid, os.getpid()):
        left = tmp_path / part_of(tmp_path / "made").name.replace(str(os.getpid()), str(process))
        left.mkdir()
        (left / "model.safetensors").touch()
    said = command("export", f"checkpoint={bahdanau.best}", "format=safetensors", "output=made")
    assert said.status == 0 and [path.name for path in tmp_path.iterdir()] == ["made"], said.err


def test_folder_with_something_in_it_is_left_alone(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine").touch()
    said = command("export", f"checkpoint={bahdanau.best}", "format=safetensors", "output=made")
    assert said.status == 1 and "output=made is there already" in said.err
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["mine"]


def test_missing_package_is_named_with_the_remedy(
    command: Command, bahdanau: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    monkeypatch.delitem(sys.modules, "seq2seq.export.safetensors", raising=False)
    said = command("export", f"checkpoint={bahdanau.best}", "format=safetensors", "output=made")
    assert said.status == 1 and "pip install 'seq2seq[export]'" in said.err


def test_card_says_what_was_measured_and_loads_the_model(
    transformer: Any, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    said = command("export", f"checkpoint={transformer.best}", "format=ctranslate2", "output=model")
    assert said.status == 0 and "model/README.md" in said.out
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"| val | {transformer.metrics['val/bleu']:.1f} |" in card
    assert f"| parameters | {transformer.metrics['parameters']:,} |" in card
    assert (tmp_path / "model" / "alignment.png").exists()
    monkeypatch.chdir(tmp_path)
    exec(card.partition("```python\n")[2].partition("```")[0], {})
    translated = command("translate", f"checkpoint={transformer.best}", "search=beam", stdin=b"A sentence .\n")
    assert translated.out[:40] == capsys.readouterr().out[:40] != ""  # they have other limits of length
