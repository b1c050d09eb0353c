"""`seq2seq import`: the model that was imported says what transformers says."""

import json
import math
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.models.m2m_100.modeling_m2m_100 import M2M100SinusoidalPositionalEmbedding

import seq2seq
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import BOS, EOS
from seq2seq.decoding.search import BeamSearch, GreedySearch, power_penalty
from seq2seq.huggingface.folder import Folder
from seq2seq.huggingface.importing import _fairseq_waves, read
from tests.sentences import sentences

LIMIT = 24
"""Tokens of a translation, the end counted; transformers counts the start, too."""

Command = Callable[..., Any]
LINES = ["The wolf sleeps .", "no , qx !", *(pair.source for pair in sentences("test")[:10])]
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
            found = self.theirs.generate(**self.their_source(), **options)
        end, pad = self.theirs.config.eos_token_id, self.theirs.config.pad_token_id
        return [[i for i in ids if i not in (end, pad)] for ids in found[:, 1:].tolist()]


def both_logits(pair: Pair, theirs: Any, ours: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return our logits and theirs of the same targets, in our order, without the start, which theirs has not."""
    rows = torch.tensor(pair.target_rows)
    with torch.no_grad():
        said = pair.theirs(**theirs, decoder_input_ids=rows[ours.target_input]).logits
        logits = pair.ours.network(
            ours.source, ours.source_mask, ours.source_lengths, ours.target_input, ours.target_indices
        )
    assert (logits[:, BOS] < -900).all()
    kept = [i for i in range(len(rows)) if i != BOS]
    return logits[:, kept], said.flatten(0, 1)[ours.target_indices][:, rows][:, kept]


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

    assert_close(*both_logits(pair, theirs, ours), atol=1e-4, rtol=0)

    for early in (True, False):
        search = BeamSearch(
            beam_size=4, n_best=1, max_length=LIMIT, max_ratio=100.0, length_penalty=power_penalty(1.0),
            early_stopping=early,
        )  # fmt: skip
        found = search(pair.ours.network, ours.source, ours.source_mask, ours.source_lengths)
        translations = [[pair.target_rows[i] for i in hypotheses[0].tokens] for hypotheses in found]
        theirs = pair.beam(early_stopping=early, **options)
        # At the limit our search ends a sentence, theirs cuts it.
        both = zip(translations, theirs, strict=True)
        whole = [mine == other for mine, other in both if max(len(mine), len(other)) < LIMIT - 1]
        assert all(whole) and len(whole) > 1, [len(ids) for ids in translations]

    said = pair.tokenizer.batch_decode(theirs, skip_special_tokens=True)
    decode = pair.ours.tokenizers.target.decode
    text = [decode([pair.target_rows.index(i) for i in ids]) for ids in theirs]
    assert text == [re.sub("__[a-z]+__", "", line).strip() for line in said]

    # With large weights float32 rounds both by as much as 1e-3, but what they compute is the same.
    for model in (pair.theirs, pair.ours.network):
        model.double()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() == 2 and "positions" not in name:
                    parameter.mul_(3.0)
    mine, other = both_logits(pair, pair.their_source(), ours)
    assert mine.abs().max() > 15 and (mine - other).abs().max() < 1e-8


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


def test_weights_in_parts_and_as_pickles_are_read(marian: Callable[..., Path], tmp_path: Path) -> None:
    folder = marian()
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder)
    whole = Folder(folder).weights()
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    (tmp_path / "pickled").mkdir()
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    for place in ("parts", "pickled"):
        found = Folder(tmp_path / place).weights()
        assert found.keys() >= whole.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())


def test_language_before_a_line_is_a_piece_and_a_word(
    command: Command, marian: Callable[..., Path], tmp_path: Path
) -> None:
    folder = marian(languages=("fra", "deu"))
    pair = Pair(command, folder, tmp_path / "a.ckpt")
    line = ">>fra<< The wolf sleeps ."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pair.tokenizer(line).input_ids[:-1]
    ids, words = pair.ours.tokenizers.source.word_of_piece(line)
    assert (
        [pair.source_rows[i] for i in ids]
        == theirs
        == [pair.source_rows[i] for i in pair.ours.tokenizers.source.encode(line)]
    )
    assert words[0] == 0 and words[-1] == 4

    always = Pair(command, folder, tmp_path / "b.ckpt", target_language="fra").ours.tokenizers.source
    assert always.encode("The wolf sleeps .") == ids
    assert always.word_of_piece("The wolf sleeps .").words == [-1, *(word - 1 for word in words[1:])]
    assert always.encode(" ") == []


def test_tag_is_the_language_that_a_marian_model_translates_to(
    command: Command, marian: Callable[..., Path], tmp_path: Path
) -> None:
    pair = Pair(command, marian(languages=("fra", "deu"), eager=2.0), tmp_path / "a.ckpt")
    assert "say which: tag=..., of deu, fra\n" in pair.said
    names = {"fra": 0, "deu": 1}
    said = {name: pair.ours.tagged(name).translate(LINES, search="greedy", max_length=LIMIT) for name in names}
    assert said["fra"] != said["deu"]
    angles = pair.ours.tagged(">>fra<<").translate(LINES[:2], search="greedy", max_length=LIMIT)
    assert angles == said["fra"][:2]
    for name, text in said.items():
        inline = [f">>{name}<< {line}" for line in LINES]
        assert pair.ours.translate(inline, search="greedy", max_length=LIMIT) == text
        # A line that says a language of its own has no other.
        assert pair.ours.tagged("deu").translate(inline, search="greedy", max_length=LIMIT) == text
        pair.their_source = lambda lines=inline: pair.tokenizer(lines, return_tensors="pt", padding=True)  # type: ignore
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = pair.beam(num_beams=1, max_length=LIMIT)
        decoded = [str(pair.tokenizer.decode(ids, skip_special_tokens=True)).strip() for ids in theirs]
        assert [a for a, ids in zip(decoded, theirs, strict=True) if len(ids) < LIMIT - 2] == [
            b for b, ids in zip(text, theirs, strict=True) if len(ids) < LIMIT - 2
        ]
    (tmp_path / "in").write_text(f"{LINES[2]}\n{LINES[2]}\n")
    (tmp_path / "tags").write_text(">>deu<<\nfra\n")
    options = ["search=greedy", f"search.max_length={LIMIT}"]
    lines = command("translate", "checkpoint=a.ckpt", "input=in", "tags=tags", *options)
    assert lines.status == 0 and lines.out.splitlines() == [said["deu"][2], said["fra"][2]], lines.err
    refused = command("translate", "checkpoint=a.ckpt", "input=in", "tag=xxx")
    assert refused.status == 1 and "tag=xxx is not known to the model: it knows deu, fra\n" in refused.err


@pytest.mark.parametrize(("kind", "source", "target", "other"), [
    ("m2m100", "en", "de", "fr"), ("nllb", "eng_Latn", "deu_Latn", "fra_Latn"),
])  # fmt: skip
def test_tag_is_the_language_that_m2m100_translates_from(
    command: Command, kind: str, source: str, target: str, other: str, request: Any, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(kind)
    for name, language in (("a", source), ("b", other)):
        given = [f"source_language={language}", f"target_language={target}", f"output={name}.ckpt"]
        assert command("import", f"from={folder}", *given).status == 0
    (tmp_path / "in").write_text("".join(f"{line}\n" for line in LINES[2:6]))
    options = ["source=in", "target=in"]
    said = [
        command("score", *given, *options).out
        for given in (["checkpoint=a.ckpt"], ["checkpoint=b.ckpt"], ["checkpoint=a.ckpt", f"tag={other}"],
                      ["checkpoint=b.ckpt", f"tag={source}"])
    ]  # fmt: skip
    assert said[0] and said[0] == said[3] and said[1] == said[2] and said[0] != said[1]
    refused = command("translate", "checkpoint=a.ckpt", "tag=fra_Lat", "input=in")
    assert refused.status == 1 and "tag=fra_Lat is not known to the model: " in refused.err
    assert len(refused.err) < 300 and refused.err.count("\n") == 1


@pytest.mark.parametrize("d_model", [2, 4, 6])
def test_waves_of_fairseq_are_numbers_and_those_of_transformers(d_model: int) -> None:
    made = _fairseq_waves(torch.arange(9), d_model)
    assert made.isfinite().all() and made.abs().max() <= 1
    if d_model > 2:  # of a single wave theirs are nan
        theirs = M2M100SinusoidalPositionalEmbedding.get_embedding(9, d_model)
        assert_close(made, theirs)


def test_language_that_is_forced_is_no_piece_of_the_score(command: Command, nllb: Path, tmp_path: Path) -> None:
    given = ["source_language=eng_Latn", "target_language=deu_Latn", "output=a.ckpt"]
    assert command("import", f"from={nllb}", *given).status == 0
    (tmp_path / "in").write_text("".join(f"{line}\n" for line in LINES[2:6]))
    shutil.copyfile(tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    for checkpoint in ("a.ckpt", "[a.ckpt,b.ckpt]"):
        said = command("score", f"checkpoint={checkpoint}", "source=in", "target=in", "by=token")
        assert said.status == 0, said.err
        rows = [json.loads(line) for line in said.out.splitlines()]
        pieces = [[piece for piece, _ in row["tokens"]] for row in rows]
        assert len(pieces) == 4 and not any("deu_Latn" in piece for row in pieces for piece in row)
        assert f"of {sum(map(len, pieces))} pieces in 4 pairs" in said.err
    values = [value for row in rows for _, value in row["tokens"]]
    perplexity = math.exp(-sum(values) / len(values))
    assert float(said.err.split()[1]) == pytest.approx(perplexity, rel=1e-3)
    data = ["data=text", "data.test.source=in", "data.test.target=in", "search=greedy", "search.max_length=3"]
    scored = command("evaluate", "checkpoint=a.ckpt", *data, "output=scores")
    assert scored.status == 0, scored.err
    metrics = json.loads((tmp_path / "scores" / "evaluation-test.json").read_text())["metrics"]
    assert metrics["perplexity"] == pytest.approx(perplexity, rel=1e-3)


def test_imported_model_serves_every_command(command: Command, nllb: Path, text: Any, tmp_path: Path) -> None:
    languages = ["source_language=eng_Latn", "target_language=deu_Latn"]
    said = command("import", f"from={nllb}", "output=a.ckpt", *languages)
    assert said.status == 0, said.err
    for name, side in (("source", 0), ("target", 1)):
        (tmp_path / name).write_text("".join(f"{pair[side]}\n" for pair in text[:8]), encoding="utf-8")
    aligned = command("align", "checkpoint=a.ckpt", "source=source", "target=target", "output=links")
    assert aligned.status == 0, aligned.err
    words = [
        [len(line.split()) for line in (tmp_path / name).read_text().splitlines()] for name in ("source", "target")
    ]
    for line, *counts in zip((tmp_path / "links").read_text().splitlines(), *words, strict=True):
        assert all(int(i) < counts[0] and int(j) < counts[1] for i, j in (link.split("-") for link in line.split()))
    nothing = command("evaluate", "checkpoint=a.ckpt")
    assert nothing.status == 1 and "a.ckpt was trained elsewhere" in nothing.err
    for arguments in (
        ["visualize", "source=The wolf sleeps .", "output=page", "search.max_length=9"],
        ["explain", "source=The wolf sleeps .", "target=Der Wolf schläft .", "contrast=Die", "output=why"],
    ):
        said = command(arguments[0], "checkpoint=a.ckpt", *arguments[1:])
        assert said.status == 0, said.err


def test_language_stands_before_what_a_translation_must_begin_with_or_say(
    command: Command, nllb: Path, tmp_path: Path
) -> None:
    model = Pair(command, nllb, tmp_path / "a.ckpt", source_language="eng_Latn", target_language="deu_Latn").ours
    network, tokenizer = model.network, model.tokenizers.target
    for prefix in ("der", "de", "der Hu", "der Hu "):
        assert model.translate(LINES[:1], prefix=[prefix], max_length=12)[0].startswith(prefix)
        found = model.alternatives(LINES[0], prefix, n=3, max_length=12)
        assert len(found) == 3 and all(one.translation.startswith(prefix.rstrip()) for one in found)
    # Two pieces with the language and the end are four tokens.
    for length in (4, 12):
        constraints = [{"require": ["der", "die"]}]
        (several,) = model.translations(LINES[:1], constraints=constraints, max_length=length, n_best=3)
        assert several and all({"der", "die"} <= set(one.text.split()) for one in several)
    assert model.translate([""], constraints=[{"forbid": ["der"]}]) == [""]
    batch = collate([(model.tokenizers.source.encode(LINES[0]), tokenizer.encode("der")[:1], 0)])
    with torch.no_grad():
        logits = network(
            batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
        )
    expected = logits[-1].softmax(-1)
    for one in model.alternatives(LINES[0], n=4, unit="pieces", max_length=12):
        piece = EOS if one.text == "" else tokenizer.pieces(range(len(tokenizer))).index(one.text)
        assert one.probability == pytest.approx(float(expected[piece] / (1 - expected[BOS])), rel=1e-2)


def test_training_goes_on_from_an_imported_model(command: Command, nllb: Path, text: Any, tmp_path: Path) -> None:
    said = command("import", f"from={nllb}", "output=a.ckpt", "source_language=eng_Latn", "target_language=deu_Latn")
    for name, side in (("source", 0), ("target", 1)):
        (tmp_path / name).write_text("".join(f"{pair[side]}\n" for pair in text[:8]), encoding="utf-8")
    shown = next(line for line in said.out.splitlines() if "begin_with" in line)
    given = [word for word in shown.split()[2:] if word != "..."]
    given += [f"data.{split}.{side}={side}" for split in ("train", "val", "test") for side in ("source", "target")]
    tiny = ["trainer=cpu", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "search.max_length=5",
            "callbacks.pinned=null", "training.test_splits=[]", "hydra.run.dir=run"]  # fmt: skip
    trained = command("train", *given, *tiny)
    assert trained.status == 0, trained.err
    assert "all its weights are taken" in trained.out + trained.err
    model = seq2seq.load(tmp_path / "run" / "checkpoints" / "last.ckpt", device="cpu")
    (found,) = model.translations(["The wolf sleeps ."], max_length=6)
    assert found[0].text == found[0].text.strip() and "deu_Latn" not in found[0].text


def test_ctranslate2_says_what_an_imported_model_says(
    command: Command, marian: Callable[..., Path], text: Any, tmp_path: Path
) -> None:
    assert command("import", f"from={marian(separate=True, scale_embedding=False)}", "output=a.ckpt").status == 0
    said = command("export", "checkpoint=a.ckpt", "format=ctranslate2", "output=made")
    assert said.status == 0, said.err
    model = seq2seq.load(tmp_path / "a.ckpt", device="cpu")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "made" / "source.spm"))
    translator = ctranslate2.Translator(str(tmp_path / "made"), compute_type="float32", intra_threads=1)
    lines = [pair[0] for pair in text[:8]]
    theirs = translator.translate_batch(
        [processor.encode(line, out_type=str) for line in lines], beam_size=1, max_decoding_length=LIMIT,
        min_decoding_length=0, suppress_sequences=[["<pad>"], ["<s>"]],
    )  # fmt: skip
    batch = collate([(model.tokenizers.source.encode(line), [], i) for i, line in enumerate(lines)])
    search = GreedySearch(max_length=LIMIT, max_ratio=100.0)
    found = search(model.network, batch.source, batch.source_mask, batch.source_lengths)
    for mine, other in zip(found, theirs, strict=True):
        assert model.tokenizers.target.pieces(mine[0].tokens) == other.hypotheses[0][: LIMIT - 1]
    smaller = command("export", "checkpoint=a.ckpt", "format=ctranslate2", "output=small", "quantization=int8")
    assert smaller.status == 0, smaller.err
    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("made", "small")]
    assert sizes[1] < sizes[0]
    ctranslate2.Translator(str(tmp_path / "small"))
    for key, reason in (("quantization=int7", "did you mean int"), ("format=safetensors", "is for format=ctranslate2")):
        options = [key] if "format" not in key else [key, "quantization=int8"]
        refused = command(
            "export", "checkpoint=a.ckpt", *(["format=ctranslate2"] if len(options) == 1 else []), "output=no", *options
        )
        assert refused.status == 1 and reason in refused.err and not (tmp_path / "no").exists()


def change_config(**keys: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | keys))

    return change


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def spoil_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.encoder.layers.0.fc1.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


REFUSED: list[tuple[Callable[[Path], object], str]] = [
    (change_config(model_type="t5"), "model_type=t5, which is not known; known are marian"),
    (change_config(normalize_before=True), "normalize_before=True, but only normalize_before=false can be imported"),
    (change_config(activation_function="gelu_new"), "activation_function=gelu_new, which our feed-forward"),
    (change_config(d_model=17), "encoder_attention_heads=4, of which d_model=17 is no multiple"),
    (change_config(encoder_ffn_dim=25), "by config.json 25 × 16; they are not of one model"),
    (change_config(encoder_layers=3), "its weights have no model.encoder.layers.2.self_attn.q_proj.weight"),
    (change_config(decoder_layers=2), "its weights have model.decoder.layers.2."),
    (change_config(forced_bos_token_id=10**6), "forced_bos_token_id=1000000 is no piece of its vocabulary"),
    (change_config(vocab_size=20), "but config.json says vocab_size=20"),
    (remove("config.json"), "has no config.json"),
    (remove("source.spm"), "has no source.spm"),
    (remove("vocab.json"), "has no vocab.json"),
    (remove("model.safetensors"), "has no weights; one of these is needed: model.safetensors"),
    (write("config.json", b"{"), "config.json is no JSON, or was cut off"),
    (write("target.spm", b"no model"), "target.spm is no SentencePiece model"),
    (write("model.safetensors", b"cut"), "model.safetensors cannot be read"),
    (spoil_weight, "model.encoder.layers.0.fc1.bias holds nan or inf, no number; fetch it again"),
    *[
        (write("vocab.json", content), "vocab.json does not give each piece a number of its own")
        for content in (b'{"a": 0, "b": 0}', b'{"<unk>": -1, "a": 0}', b"{}")
    ],
]


@pytest.mark.parametrize(("spoil", "reason"), REFUSED, ids=[reason[:40] for _, reason in REFUSED])
def test_what_cannot_be_imported_is_said_in_a_line(
    command: Command, broken: Path, spoil: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    spoil(broken)
    said = command("import", f"from={broken}", "output=a.ckpt")
    assert (said.status, said.out) == (1, "")
    assert reason in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "a.ckpt").exists()


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture(scope="module")
def whole(marian: Callable[..., Path]) -> Path:
    return marian()


@pytest.mark.parametrize(("languages", "reason"), [
    ([], "source_language is needed: this model knows 3 languages, deu_Latn, eng_Latn, fra_Latn"),
    (["source_language=eng_Latn"], "target_language is needed"),
    (["source_language=en", "target_language=deu_Latn"], "source_language=en is none of this model's 3 languages"),
])  # fmt: skip
def test_languages_are_asked_for(command: Command, nllb: Path, languages: list[str], reason: str) -> None:
    said = command("import", f"from={nllb}", "output=a.ckpt", *languages)
    assert said.status == 1 and reason in said.err and said.err.count("\n") == 1
