"""`seq2seq export format=huggingface`: transformers loads the model, and it says what ours says."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, MarianMTModel, MarianTokenizer

import seq2seq
from seq2seq.api import Model
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import EOS, Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.decoding.search import BeamSearch, power_penalty
from tests.checkpoints import write_random

Command = Callable[..., Any]
LIMIT = 24
SMALL = ["model=transformer", "model.d_model=16", "encoder.num_layers=2", "decoder.num_layers=1"]
POST = [f"{side}.norm_first=false" for side in ("encoder", "decoder")]
SEPARATE = ["model.tie_embeddings=false", "model.tie_output=false", "encoder.num_heads=2", "decoder.d_feedforward=24"]
OTHER = [f"{side}.{key}" for side in ("encoder", "decoder") for key in ("activation=swish", "scale_embedding=false")]


def tokenizer(lines: list[str], *, normalization: str = "nfc", vocab_size: int = 120) -> Tokenizer:
    options: dict[str, Any] = {"joint": True, "sampling": 0.0, "character_coverage": 1.0, "input_sentence_size": 0}
    config = TokenizerConfig(model_type="bpe", vocab_size=vocab_size, normalization=normalization, **options)
    return Tokenizer(train_tokenizer(lines, config))


@pytest.fixture(scope="session")
def joint(text: list[tuple[str, str]]) -> Tokenizers:
    return Tokenizers(*[tokenizer([line for pair in text for line in pair])] * 2)


@pytest.fixture(scope="session")
def separate(text: list[tuple[str, str]]) -> Tokenizers:
    return Tokenizers(*(tokenizer([pair[side] for pair in text]) for side in (0, 1)))


def checkpoint(file: Path, tokenizers: Tokenizers, *overrides: str) -> Path:
    small = ["model.d_model=16"] if "model=luong" in overrides else SMALL
    return write_random(file, tokenizers, *small, *overrides)


def check_same(ours: Model, folder: Path, lines: list[str]) -> None:
    """Check that a folder gives the ids, logits and translations of our model."""
    theirs: Any = MarianMTModel.from_pretrained(folder).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cutting = MarianTokenizer.from_pretrained(folder)
    read = cutting(lines, return_tensors="pt", padding=True)
    sources = [ours.tokenizers.source.encode(line) for line in lines]
    batch = collate([(source, [5, 9, 6, 4][i % 3 :], i) for i, source in enumerate(sources)])
    assert read.input_ids.tolist() == batch.source.tolist()
    with torch.no_grad():
        said = theirs(**read, decoder_input_ids=batch.target_input).logits.flatten(0, 1)[batch.target_indices]
        logits = ours.network(
            batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
        )
    assert_close(said, logits, atol=1e-4, rtol=0)
    search = BeamSearch(beam_size=4, n_best=1, max_length=LIMIT, max_ratio=100.0, length_penalty=power_penalty(1.0))
    mine = [found[0].tokens for found in search(ours.network, batch.source, batch.source_mask, batch.source_lengths)]
    found = theirs.generate(**read, num_beams=4, max_length=LIMIT + 1)[:, 1:].tolist()
    other = [ids[: ids.index(EOS)] if EOS in ids else ids for ids in found]
    whole = [a == b for a, b in zip(mine, other, strict=True) if max(len(a), len(b)) < LIMIT - 1]
    assert all(whole) and len(whole) > 2, [len(ids) for ids in mine]
    assert cutting.batch_decode(other) == [ours.tokenizers.target.decode(ids) for ids in other]


@pytest.mark.parametrize(("kind", "overrides"), [
    ("joint", ["model.output_bias=true"]),
    ("joint", ["model.tie_output=false", "model.output_bias=true", *OTHER]),
    ("joint", ["model.output_bias=true", "model.first_token=7"]),
    ("separate", [*SEPARATE, "model.output_bias=true"]),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:Recommended")
def test_transformers_loads_an_equal_model(
    command: Command, text: list[tuple[str, str]], kind: str, overrides: list[str], request: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    file = checkpoint(tmp_path / "ours.ckpt", request.getfixturevalue(kind), *POST, *overrides)
    said = command("export", f"checkpoint={file}", "format=huggingface", "output=made")
    assert said.status == 0, said.err
    check_same(seq2seq.load(file, device="cpu"), tmp_path / "made", [pair[0] for pair in text[:12]])
    monkeypatch.chdir(tmp_path)
    exec((tmp_path / "made" / "README.md").read_text().partition("```python\n")[2].partition("```")[0], {})
    assert "<s>" not in capsys.readouterr().out  # what a translation starts with is no text


@pytest.mark.parametrize("normalization", ["nfc", "identity"])
def test_exported_model_that_is_imported_again_reads_and_says_text_as_before(
    command: Command, normalization: str, tmp_path: Path
) -> None:
    lines = ["caf\u00e9 \u2581 a\u2581b", "na\u00efve\ta  b", "A\u0308 >>de<< x \ufdd0"]
    made = tokenizer(lines * 4, normalization=normalization, vocab_size=40)
    file = checkpoint(tmp_path / "ours.ckpt", Tokenizers(made, made), *POST)
    assert command("export", f"checkpoint={file}", "format=huggingface", "output=made").status == 0
    assert command("import", "from=made", "output=back.ckpt").status == 0
    back = seq2seq.load(tmp_path / "back.ckpt", device="cpu").tokenizers.source
    for line in [*lines, "cafe\u0301", " a\t\u2581", "Z\u00e9 a", " "]:
        ids, found = back.word_of_piece(line)
        assert ids == back.encode(line) and back.pieces(ids) == made.pieces(made.encode(line)), line
        assert found == made.word_of_piece(line).words and back.decode(ids) == made.decode(made.encode(line))
        drawn = [t.pieces(t.encode_sampled(line, alpha=0.5, seed=1)) for t in (back, made)]
        assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("kind", "overrides"),
    [
        ("joint", []),
        ("joint", ["model.tie_output=false", "model.output_bias=true"]),
        ("joint", [*SEPARATE, "model.output_bias=true"]),
        ("joint", ["model.tie_embeddings=false", "model.first_token=7"]),
        ("separate", ["model.tie_embeddings=false", "model.first_token=7"]),
        ("separate", [*SEPARATE, *OTHER, "model.output_bias=true"]),
    ],
)
def test_exported_model_that_is_imported_again_is_equal(
    command: Command, text: list[tuple[str, str]], kind: str, overrides: list[str], request: Any, tmp_path: Path
) -> None:
    file = checkpoint(tmp_path / "ours.ckpt", request.getfixturevalue(kind), *POST, *overrides)
    assert command("export", f"checkpoint={file}", "format=huggingface", "output=made").status == 0
    said = command("import", "from=made", "output=back.ckpt")
    assert said.status == 0, said.err
    models = [seq2seq.load(path, device="cpu") for path in (file, tmp_path / "back.ckpt")]
    found = []
    for model in models:
        source, target = model.tokenizers
        pairs = [(source.encode(one), target.encode(other), i) for i, (one, other) in enumerate(text[:6])]
        batch = collate(pairs)
        with torch.no_grad():
            logits = model.network(
                batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
            )
        found.append((pairs, logits, model.translate([line for line, _ in text[:6]]), model.network.first_token))
    assert found[0][0] == found[1][0] and found[0][2:] == found[1][2:]
    assert torch.equal(found[0][1], found[1][1])
    assert shared(models[0]) == shared(models[1])


def shared(model: Model) -> list[bool]:
    """Return whether the source, and the output, have the table of the target."""
    network: Any = model.network
    target = network.decoder.embedding.table.weight
    return [network.encoder.embedding.table.weight is target, network.output.weight is target]


def test_what_is_refused_leaves_no_folder(command: Command, joint: Tokenizers, tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "ours.ckpt", joint, "positions=learned")
    (tmp_path / "empty").mkdir()
    for output in ("new/deep/made", "empty", "empty/deep/made"):
        assert command("export", f"checkpoint={file}", "format=huggingface", f"output={output}").status == 1
    assert {path.name for path in tmp_path.rglob("*")} == {"ours.ckpt", "empty"}


def test_imported_model_goes_back(command: Command, marian: Callable[..., Path], text: Any, tmp_path: Path) -> None:
    folder = marian()
    assert command("import", f"from={folder}", "output=a.ckpt").status == 0
    said = command("export", "checkpoint=a.ckpt", "format=huggingface", "output=back")
    assert said.status == 0, said.err
    card = (tmp_path / "back" / "README.md").read_text()
    assert "trained elsewhere and imported with seq2seq" in card and " unigram |" in card and "| seed |" not in card
    lines = [pair[0] for pair in text[:6]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, after = (AutoTokenizer.from_pretrained(path) for path in (folder, tmp_path / "back"))
    models: Any = [AutoModelForSeq2SeqLM.from_pretrained(path).eval() for path in (folder, tmp_path / "back")]
    said = [m.generate(**t(lines, return_tensors="pt", padding=True), early_stopping=True, num_beams=4, max_length=25)
            for m, t in zip(models, (before, after), strict=True)]  # fmt: skip
    assert before.batch_decode(said[0], skip_special_tokens=True) == after.batch_decode(
        said[1], skip_special_tokens=True
    )


@pytest.mark.parametrize(("overrides", "needed"), [
    ([], "encoder.norm_first=false, decoder.norm_first=false"),
    ([*POST, "positions=rotary"], "encoder.positions=sinusoidal, decoder.positions=sinusoidal"),
    ([*POST, "score=dot", "encoder.gate=true"], "encoder.gate=false, score=scaled_dot"),
    ([*POST, "decoder.self_normalizer=sparsemax"], "decoder.self_normalizer=softmax"),
    ([*POST, "num_key_heads=1"], "encoder.num_key_heads=null, decoder.num_key_heads=null"),
    ([*POST, "encoder.activation=gelu"], "encoder.activation as decoder.activation"),
    (["model=luong"], "model=transformer"),
])  # fmt: skip
def test_what_marian_has_not_is_refused_by_the_keys_that_fit(
    command: Command, joint: Tokenizers, overrides: list[str], needed: str, tmp_path: Path
) -> None:
    file = checkpoint(tmp_path / "ours.ckpt", joint, *overrides)
    said = command("export", f"checkpoint={file}", "format=huggingface", "output=made")
    assert (said.status, said.out) == (1, "") and said.err.endswith(f"this one needs {needed}\n"), said.err
    assert not (tmp_path / "made").exists()
