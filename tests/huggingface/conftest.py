"""Tiny random models as transformers saves them, with SentencePiece models trained on a little text; no network."""

import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sentencepiece
import torch

from seq2seq.cli.main import main
from tests.sentences import sentences

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers
    from transformers import (
        M2M100Config,
        M2M100ForConditionalGeneration,
        M2M100Tokenizer,
        MarianConfig,
        MarianMTModel,
        MarianTokenizer,
        NllbTokenizer,
    )

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIZES: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_position_embeddings": 80,
}


def segmenting(lines: list[str], kind: str, size: int) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=size, model_type=kind, minloglevel=2
    )
    return model.getvalue()


def pieces_of(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(i) for i in range(3, len(processor))]


@pytest.fixture(scope="session")
def text() -> list[tuple[str, str]]:
    return [(pair.source, pair.target) for pair in sentences("val")[:200]]


@pytest.fixture(scope="session")
def spm(text: list[tuple[str, str]]) -> dict[str, bytes]:
    """Of each side alone, and of both."""
    sides = {
        side: segmenting([pair[i] for pair in text], "unigram", 120) for i, side in enumerate(("source", "target"))
    }
    return sides | {"both": segmenting([line for pair in text for line in pair], "bpe", 200)}


def scatter(model: Any, end: int, eager: float) -> Any:
    """Give every parameter a value that matters, and let sentences end at several lengths."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                deviation = 0.5 if "shared" in name or "embed_tokens" in name or "lm_head" in name else 0.4
                parameter.copy_(deviation * torch.randn_like(parameter))
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.copy_(0.3 * torch.randn_like(model.final_logits_bias))
            model.final_logits_bias[0, end] = eager
        else:  # a number that the last norm gives all states says the end
            model.model.decoder.layer_norm.bias[0] += 3.0
            table = model.model.shared.weight
            table[:, 0], table[end, 0], table[[0, 1], 0] = 0.0, eager / 3, -3.0
    return model.eval()


@pytest.fixture(scope="session")
def marian(spm: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return what saves a Marian model with some keys of its configuration."""

    def make(*, languages: tuple[str, ...] = (), separate: bool = False, eager: float = 4.5, **keys: Any) -> Path:
        folder = tmp_path_factory.mktemp("marian")
        (folder / "source.spm").write_bytes(spm["source"])
        (folder / "target.spm").write_bytes(spm["target"])
        source, target = pieces_of(spm["source"]), pieces_of(spm["target"])
        both = sorted({*source, *target}) if not separate else sorted(source)
        # A piece of each model is in no vocabulary, as it happens with old ones.
        codes = [f">>{language}<<" for language in languages]
        names = ["</s>", "<unk>", *codes, *both[:-1], "<pad>"]
        vocab = {piece: i for i, piece in enumerate(names)}
        (folder / "vocab.json").write_text(json.dumps(vocab))
        options: dict[str, Any] = {"separate_vocabs": separate}
        if separate:
            other = {piece: i for i, piece in enumerate(["</s>", "<unk>", *sorted(target)[1:], "<pad>"])}
            (folder / "other.json").write_text(json.dumps(other))
            options["target_vocab_file"] = str(folder / "other.json")
            keys |= {"decoder_vocab_size": len(other), "share_encoder_decoder_embeddings": False}
        eager += 3 * separate
        start = (other if separate else vocab)["<pad>"]
        config = MarianConfig(
            **{"vocab_size": len(vocab), "pad_token_id": start, "decoder_start_token_id": start, "eos_token_id": 0,
               "activation_function": "swish", "scale_embedding": True, **SIZES, **keys}
        )  # fmt: skip
        torch.manual_seed(1)
        model = scatter(MarianMTModel(config), 0, eager)
        model.generation_config.update(bad_words_ids=[[start]], num_beams=4, max_length=25)
        files: list[Any] = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokenizer = MarianTokenizer(*files, **options)
        model.save_pretrained(folder / "saved")
        tokenizer.save_pretrained(folder / "saved")
        return folder / "saved"

    return make


@pytest.fixture(scope="session")
def m2m100(spm: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save an M2M100 model; its sentences end soon."""
    folder = tmp_path_factory.mktemp("m2m100")
    (folder / "sentencepiece.bpe.model").write_bytes(spm["both"])
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *pieces_of(spm["both"])]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    return _save_m2m100(tokenizer, len(pieces) + 100 + 8, folder / "saved")


@pytest.fixture(scope="session")
def nllb(spm: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save an NLLB model; the tokenizer is saved without its SentencePiece model."""
    folder = tmp_path_factory.mktemp("nllb")
    (folder / "sentencepiece.bpe.model").write_bytes(spm["both"])
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "NllbTokenizer"}')
    languages = ["deu_Latn", "eng_Latn", "fra_Latn"]
    tokenizer = NllbTokenizer.from_pretrained(folder, extra_special_tokens=languages, src_lang="eng_Latn")
    return _save_m2m100(tokenizer, len(tokenizer) + 2, folder / "saved")


def _save_m2m100(tokenizer: Any, size: int, folder: Path) -> Path:
    torch.manual_seed(1)
    model = scatter(M2M100ForConditionalGeneration(M2M100Config(vocab_size=size, **SIZES)), 2, 4.0)
    model.generation_config.update(num_beams=4, max_length=25)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class Said(NamedTuple):
    """What a command did: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Return what runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Said:
        status = main([str(argument) for argument in arguments])
        return Said(status, *capsys.readouterr())

    return run
