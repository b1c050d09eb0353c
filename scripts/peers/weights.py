"""Of a model's weights, what both peers are given alike."""

import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention import Positions, SinusoidalPositions
from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer, Tokenizers
from seq2seq.models import EncoderDecoder, TransformerDecoder, TransformerEncoder

PEER_POSITIONS = 5000
"""Rows of the table of positions that both peers keep among their weights."""

SPECIALS = {"unk": UNK, "pad": PAD, "bos": BOS, "eos": EOS}


class Shape(NamedTuple):
    """What the peers' configurations say of an encoder or a decoder."""

    d_model: int
    d_feedforward: int
    num_layers: int
    num_heads: int
    norm_first: bool
    epsilon: float  # of every LayerNorm
    scale: float  # of every embedding
    positions: Positions


def shapes(model: EncoderDecoder) -> tuple[Shape, Shape]:
    """Return the shapes of the encoder and the decoder."""
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, TransformerEncoder) and isinstance(decoder, TransformerDecoder)  # or no export before
    return _shape(encoder, encoder.d_model), _shape(decoder, decoder.d_features)


def _shape(side: TransformerEncoder | TransformerDecoder, d_model: int) -> Shape:
    layer, embedding = side.layers[0], side.embedding
    inner, residual = layer.feedforward[0], layer.self_residual
    assert isinstance(inner, nn.Linear)
    widths = d_model, inner.out_features, len(side.layers), layer.self_attention.num_heads
    return Shape(*widths, residual.norm_first, residual.norm.eps, embedding.scale, embedding.positions)


def positions(d_model: int) -> Tensor:
    """Return the table (PEER_POSITIONS, d_model)."""
    nothing = torch.zeros(1, PEER_POSITIONS, d_model)
    return SinusoidalPositions(d_model).embed(nothing, torch.arange(PEER_POSITIONS))[0]


def renamed(model: nn.Module, names: dict[str, str]) -> dict[str, Tensor]:
    """Return copies of a model's weights under other names; a weight that is shared comes once for each name."""
    weights = {}
    for name, weight in model.state_dict().items():
        for here, there in names.items():
            name = re.sub(here, there, name)
        weights[name] = weight.clone()
    return weights


def write_tokenizers(tokenizers: Tokenizers, folder: Path) -> None:
    """Write source.model, target.model, and the pieces of both as .txt."""
    for side, tokenizer in zip(("source", "target"), tokenizers, strict=True):
        write_tokenizer(tokenizer, folder / side)


def write_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write a SentencePiece model as path.model, and its pieces, a line each, as path.txt."""
    path.with_suffix(".model").write_bytes(tokenizer.model_proto)
    pieces = tokenizer.pieces(range(len(tokenizer)))
    path.with_suffix(".txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def special_tokens(tokenizers: Tokenizers) -> dict[str, str]:
    """Return what both peers ask to be told of the vocabulary, such as pad_token."""
    pieces = tokenizers.target.pieces(list(SPECIALS.values()))
    return {f"{name}_token": piece for name, piece in zip(SPECIALS, pieces, strict=True)}
