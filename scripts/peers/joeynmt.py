"""JoeyNMT 2.3: its configuration of a training, and the weights and the program of a translation."""

import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from peers.kinds import Kind
from peers.models import TOKENS_PER_BATCH, Rate
from peers.place import Place
from peers.weights import SPECIALS, positions, renamed, shapes, special_tokens, write_tokenizer, write_tokenizers
from seq2seq.attention import SinusoidalPositions
from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.models import EncoderDecoder

# Names of weights here, as patterns that are replaced one after the other, and there.
NAMES = {
    r"^encoder\.embedding\.table": "src_embed.lut",
    r"^decoder\.embedding\.table": "trg_embed.lut",
    r"^(encoder.*)\.self_attention": r"\1.src_src_att",
    r"^(decoder.*)\.self_attention": r"\1.trg_trg_att",
    r"\.cross_attention": ".src_trg_att",
    r"_att\.([qkv])\w+": r"_att.\1_layer",
    r"_att\.output": "_att.output_layer",
    r"^(encoder.*)\.self_residual\.norm": r"\1.layer_norm",
    r"^(decoder.*)\.self_residual\.norm": r"\1.x_layer_norm",
    r"\.cross_residual\.norm": ".dec_layer_norm",
    r"\.feedforward_residual\.norm": ".feed_forward.layer_norm",
    r"\.feedforward\.": ".feed_forward.pwff_layer.",
    r"coder\.norm": "coder.layer_norm",
    r"^output": "decoder.output_layer",
}

# Defines `translate(kind, lines, beginnings)`; `settings` are given.
TRANSLATE = """
from functools import cache
from joeynmt.config import parse_global_args
from joeynmt.prediction import predict, prepare
@cache
def prepared(kind):
    args = parse_global_args(settings["configs"][kind], rank=0, mode="translate")
    model, _, _, data = prepare(args, rank=0, mode="translate")
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = settings["epsilon"]  # JoeyNMT has no option for it
    return args, model, data
def translate(kind, lines, beginnings):
    args, model, data = prepared(kind)
    data.reset_cache()
    for line in lines:
        data.set_item(line)
    return predict(model=model, data=data, device=args.device, n_gpu=0, args=args.test, autocast=args.autocast)[2]
"""


def _recurrent(attention: str) -> dict[str, Any]:
    side = {"type": "recurrent", "rnn_type": "gru", "num_layers": 1, "dropout": 0.3}
    side["embeddings"] = {"embedding_dim": 256, "scale": False}
    return {
        "tied_embeddings": True,
        "tied_softmax": False,
        "encoder": side | {"hidden_size": 256, "bidirectional": True},
        "decoder": side
        | {
            "hidden_size": 512,
            "attention": attention,
            "input_feeding": True,
            "init_hidden": "bridge",
            "hidden_dropout": 0.3,
        },
    }


def _transformer() -> dict[str, Any]:
    side = {"type": "transformer", "num_layers": 4, "num_heads": 4, "hidden_size": 128, "ff_size": 256, "dropout": 0.3}
    side |= {"embeddings": {"embedding_dim": 128, "scale": True, "dropout": 0.3}, "layer_norm": "post"}
    return {"tied_embeddings": True, "tied_softmax": True, "encoder": side, "decoder": side}


# By our names of them. What JoeyNMT calls bahdanau and luong are the additive and the bilinear score, both with Luong's
# order of steps.
MODELS = {"transformer": _transformer(), "additive": _recurrent("bahdanau"), "general": _recurrent("luong")}


def prepare(tokenizer: Tokenizer, place: Place) -> None:
    """Write the vocabulary; JoeyNMT reads the data as they are."""
    write_tokenizer(tokenizer, place.folder / "bpe")


def training_arguments(config: dict[str, Any], place: Place) -> list[str]:
    (place.folder / "joeynmt.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return ["train", "joeynmt.yaml", "--skip-test"]


def training_config(model: str, place: Place, rate: Rate, steps: int, *, every: int) -> dict[str, Any]:
    side = {"level": "bpe", "voc_file": "bpe.txt", "max_length": 100, "lowercase": False, "normalize": False}
    side |= {"tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": "bpe.model", "pretokenizer": "none"}}
    symbols: dict[str, Any] = {f"{name}_id": i for name, i in SPECIALS.items()}
    symbols |= {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return {
        "name": "benchmark",
        "model_dir": "joeynmt",
        "use_cuda": False,
        "fp16": False,
        "random_seed": 1,
        "data": {
            "dataset_type": "plain",
            "train": str(place.data / "train"),
            "dev": "val",
            "src": side | {"lang": "en"},
            "trg": side | {"lang": "de"},
            "special_symbols": symbols,
        },
        "model": {"initializer": "xavier_uniform", "bias_initializer": "zeros", **MODELS[model]},
        "testing": {"beam_size": 5, "batch_size": 1024, "batch_type": "token", "eval_metrics": ["bleu"]},
        "training": {
            "optimizer": "adam",
            "adam_betas": [0.9, 0.98],
            "learning_rate": rate.lr,
            "learning_rate_min": 1e-8,
            "learning_rate_warmup": rate.warmup_steps,
            "scheduling": "warmupinversesquareroot",
            "loss": "crossentropy",
            "label_smoothing": 0.1,
            "normalization": "tokens",
            "batch_size": TOKENS_PER_BATCH,
            "batch_type": "token",
            "shuffle": True,
            "overwrite": True,
            "epochs": 10_000,
            "updates": steps,
            "logging_freq": every,
            "validation_freq": every,
            "early_stopping_metric": "bleu",
            **({"clip_grad_norm": 1.0} if model != "transformer" else {}),
        },
    }


def converted(
    model: EncoderDecoder, tokenizers: Tokenizers, folder: Path, kinds: dict[str, Kind], *, tokens: int
) -> dict[str, dict[str, Any]]:
    """Write a model as JoeyNMT reads it, and return its configuration for each kind of search that it has."""
    sides = dict(zip(("encoder", "decoder"), shapes(model), strict=True))
    if not all(isinstance(side.positions, SinusoidalPositions) for side in sides.values()):
        sys.exit("positions are copied to JoeyNMT as sinusoidal ones alone: leave --joeynmt out")
    weights = renamed(model, NAMES)
    weights |= {f"{name}.pe.pe": positions(side.d_model)[None] for name, side in sides.items()}
    torch.save({"model_state": weights}, folder / "best.ckpt")
    write_tokenizers(tokenizers, folder)

    data: dict[str, Any] = {"dataset_type": "plain", "test": "unused"}
    for name, side, language in (("src", "source", "en"), ("trg", "target", "de")):
        data[name] = {"lang": language, "level": "bpe", "voc_file": f"{side}.txt", "lowercase": False}
        data[name] |= {"tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": f"{side}.model"}}
    data["special_symbols"] = {f"{name}_id": i for name, i in SPECIALS.items()}
    data["special_symbols"] |= special_tokens(tokenizers)
    transformers = {
        name: {
            "type": "transformer",
            "hidden_size": side.d_model,
            "ff_size": side.d_feedforward,
            "num_layers": side.num_layers,
            "num_heads": side.num_heads,
            "layer_norm": "pre" if side.norm_first else "post",
            "embeddings": {"embedding_dim": side.d_model, "scale": True},
        }
        for name, side in sides.items()
    }
    testing = {
        "load_model": "best.ckpt",
        "batch_size": tokens,
        "batch_type": "token",
        "max_output_length": -1,  # its default, 1.5 times the longest source of a batch
        "return_prob": "none",
        "return_attention": False,
    }
    config = {
        "name": "benchmark",
        "model_dir": ".",
        "use_cuda": False,
        "data": data,
        "model": transformers,
        "training": {"batch_size": tokens},  # it must say so
    }
    return {
        name: config | {"testing": testing | kind.joeynmt} for name, kind in kinds.items() if kind.joeynmt is not None
    }
