"""eole 0.6: its configuration of a training, and the weights and the program of a translation."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from peers.kinds import MAX_LENGTH, MAX_RATIO, Kind
from peers.models import TOKENS_PER_BATCH, VOCAB_SIZE, Rate
from peers.place import Place
from peers.weights import Shape, positions, renamed, shapes, special_tokens, write_tokenizers
from seq2seq.attention import RotaryPositions, SinusoidalPositions
from seq2seq.data.tokenizer import BOS, Tokenizer, Tokenizers
from seq2seq.models import EncoderDecoder

PLACED = "position_encoding_type"

# Names of weights here, as patterns that are replaced one after the other, and there.
NAMES = {
    r"^encoder\.embedding\.table": "src_emb.embeddings",
    r"^decoder\.embedding\.table": "tgt_emb.embeddings",
    r"\.layers\.": ".transformer_layers.",
    r"\.self_attention\.": ".self_attn.",
    r"\.cross_attention\.": ".context_attn.",
    r"_attn\.query": "_attn.linear_query",
    r"_attn\.(key|value)": r"_attn.linear_\1s",
    r"_attn\.output": "_attn.final_linear",
    r"\.self_residual\.norm": ".input_layernorm",
    r"\.cross_residual\.norm": ".precontext_layernorm",
    r"\.feedforward_residual\.norm": ".post_attention_layernorm",
    r"\.feedforward\.0": ".mlp.gate_up_proj",
    r"\.feedforward\.3": ".mlp.down_proj",
    r"coder\.norm": "coder.layer_norm",
    r"^output": "generator",
}

# Defines `translate(kind, lines, beginnings)`; `settings` are given.
TRANSLATE = """
from functools import cache
from eole.config.run import PredictConfig
from eole.inference_engine import InferenceEnginePY
from sentencepiece import SentencePieceProcessor
source, target = (SentencePieceProcessor(model_file=f"{side}.model") for side in ("source", "target"))
@cache
def engine(kind):
    return InferenceEnginePY(PredictConfig(**settings["configs"][kind]))
def translate(kind, lines, beginnings):
    pieces = [" ".join([*line, "</s>"]) for line in source.encode(lines, out_type=str)]
    begun = beginnings and [" ".join(text) for text in target.encode(beginnings, out_type=str)]
    made = engine(kind)
    _, _, found = made._predict(made._build_inference_iterator(src=pieces, tgt=begun))  # as `infer_list`, with begun
    return [target.decode(best[0].split()) for best in found]
"""


def prepare(tokenizer: Tokenizer, place: Place) -> None:
    """Write the data in pieces, and the vocabulary."""
    files = {"train": place.data / "train", "whole": place.data / "val", "val": place.folder / "val"}
    for name, file in files.items():
        for language in ("en", "de"):
            if not (text := file.with_name(f"{file.name}.{language}")).exists():
                continue  # val.en and val.de are read for a perplexity only
            lines = text.read_text(encoding="utf-8").splitlines()
            encoded = [" ".join(tokenizer.pieces(tokenizer.encode(line))) for line in lines]
            (place.folder / f"{name}.sp.{language}").write_text("\n".join(encoded) + "\n", encoding="utf-8")
    # What `eole build_vocab` would count are the pieces that occur: fewer, and so a smaller model. It adds its symbols.
    pieces = tokenizer.pieces(range(len(tokenizer)))
    (place.folder / "eole.vocab").write_text("".join(f"{piece}\t1\n" for piece in pieces[4:]), encoding="utf-8")


def training_arguments(config: dict[str, Any], place: Place) -> list[str]:
    (place.folder / "eole.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return ["train", "-config", "eole.yaml"]


def training_config(validation: Path, rate: Rate, steps: int, *, every: int) -> dict[str, Any]:
    return {
        "save_data": "eole",
        "overwrite": True,
        "seed": 1,
        "report_every": 1,
        "src_vocab": "eole.vocab",
        "tgt_vocab": "eole.vocab",
        "src_vocab_size": VOCAB_SIZE,
        "tgt_vocab_size": VOCAB_SIZE,
        "vocab_size_multiple": 8,
        "share_vocab": True,
        "n_sample": 0,
        "data": {
            "train": {"path_src": "train.sp.en", "path_tgt": "train.sp.de"},
            "valid": {"path_src": f"{validation}.sp.en", "path_tgt": f"{validation}.sp.de"},
        },
        "model": {
            "architecture": "transformer",
            "hidden_size": 128,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "add_qkvbias": True,
            "add_final_linear_bias": True,
            "add_ffnbias": True,
            "generator_bias": False,
            "layers": 4,
            "heads": 4,
            "transformer_ff": 256,
            "embeddings": {"word_vec_size": 128, "position_encoding_type": "SinusoidalInterleaved"},
        },
        "training": {
            "model_path": "eole/model",
            "save_checkpoint_steps": 100_000,
            "keep_checkpoint": 1,
            "train_steps": steps,
            "valid_steps": every,
            "bucket_size": 29_000,
            "num_workers": 0,
            "world_size": 1,
            "gpu_ranks": [],
            "batch_type": "tokens",
            "batch_size": TOKENS_PER_BATCH,
            "valid_batch_size": TOKENS_PER_BATCH,
            "accum_count": [1],
            "accum_steps": [0],
            "dropout": [0.3],
            "attention_dropout": [0.3],
            "dropout_steps": [0],
            "compute_dtype": "fp32",
            "optim": "adam",
            "adam_beta2": 0.98,
            "learning_rate": rate.lr,
            "warmup_steps": rate.warmup_steps,
            "decay_method": rate.scheduler,
            "max_grad_norm": 0,
            "label_smoothing": 0.1,
            "param_init_method": "xavier_uniform",
            "normalization": "tokens",
        },
    }


def converted(
    model: EncoderDecoder, tokenizers: Tokenizers, folder: Path, kinds: dict[str, Kind], *, tokens: int
) -> dict[str, dict[str, Any]]:
    """Write a model as eole reads it, and return the configuration of its `predict` for each kind that it has."""
    sides = dict(zip(("encoder", "decoder"), shapes(model), strict=True))
    if not all(side.norm_first for side in sides.values()):
        sys.exit("eole's Transformer is pre-norm: leave --eole out, or train with norm_first=true on both sides")
    weights = renamed(model, NAMES)
    for name, side in zip(("src_emb", "tgt_emb"), sides.values(), strict=True):
        if isinstance(side.positions, SinusoidalPositions):
            weights[f"{name}.pe.pe"] = positions(side.d_model)[:, None]
        else:  # eole multiplies what it adds positions to
            weights[f"{name}.embeddings.weight"] *= side.scale
    for i in range(sides["decoder"].num_layers):
        weights[f"decoder.transformer_layers.{i}.layer_scalar"] = torch.ones(1)
    save_file(weights, folder / "model.00.safetensors")
    write_tokenizers(tokenizers, folder)

    source, target = (tokenizer.pieces(range(len(tokenizer))) for tokenizer in tokenizers)
    vocabulary = {"src": source, "tgt": target, "specials": special_tokens(tokenizers)}
    vocabulary["decoder_start_token"] = target[BOS]
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    transformers = {
        name: {
            f"{name}_type": "transformer",
            "hidden_size": side.d_model,
            "transformer_ff": side.d_feedforward,
            "layers": side.num_layers,
            "heads": side.num_heads,
            "norm_eps": side.epsilon,
            "add_qkvbias": True,
            "add_final_linear_bias": True,
            "add_ffnbias": True,
            **_positions(side),
        }
        for name, side in sides.items()
    }
    encoder = sides["encoder"]
    embeddings = {"word_vec_size": encoder.d_model, "position_encoding_type": _positions(encoder)[PLACED]}
    shared = {"share_embeddings": False, "share_decoder_embeddings": False, "generator_bias": False}
    config = {
        "src_vocab": "source.txt",
        "tgt_vocab": "target.txt",
        "data": {},
        "training": {"compute_dtype": "fp32"},
        "model": {"architecture": "transformer", "embeddings": embeddings}
        | _positions(encoder)
        | shared
        | transformers,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    predict = {
        "model_path": str(folder),
        "src": "unused",
        "compute_dtype": "fp32",
        "length_penalty": "avg",
        "batch_size": tokens,
        "batch_type": "tokens",
        "max_length": MAX_LENGTH,
        "max_length_ratio": MAX_RATIO,
    }
    return {name: predict | kind.eole for name, kind in kinds.items() if kind.eole is not None}


def _positions(side: Shape) -> dict[str, Any]:
    if isinstance(side.positions, SinusoidalPositions):
        return {PLACED: "SinusoidalInterleaved"}
    if isinstance(side.positions, RotaryPositions):
        rope = {"rotary_interleave": True, "rotary_theta": int(side.positions.base)}
        return {PLACED: "Rotary", "rope_config": rope}
    sys.exit("positions are copied to eole as sinusoidal and rotary ones alone: leave --eole out")
