"""A Transformer for CTranslate2: the same translations without PyTorch, and faster."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ctranslate2.specs import TransformerDecoderSpec, TransformerEncoderSpec, TransformerSpec
from ctranslate2.specs.attention_spec import MultiHeadAttentionSpec
from ctranslate2.specs.common_spec import Activation, LayerNormSpec, LinearSpec
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.attention import (
    LearnedPositions,
    MultiHeadAttention,
    NoPositions,
    Positions,
    RotaryPositions,
    ScaledDot,
    ShawPositions,
    SinusoidalPositions,
    Softmax,
    T5Positions,
)
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.tokenizer import BOS, EOS, UNK, Tokenizers
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder, TransformerDecoder, TransformerEncoder
from seq2seq.models.embedding import PositionedEmbedding
from seq2seq.models.encoder_decoder import site_of
from seq2seq.models.transformer_layers import FeedForward, Residual

ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: Activation.RELU, nn.GELU: Activation.GELU, nn.SiLU: Activation.SWISH
}  # fmt: skip

FINGERPRINT = "seq2seq_weights"
"""The key of `config.json` that says of which weights an export is; CTranslate2 does not look at it."""

POSITIONS = 2048
"""Positions of an unlimited encoding that are written: no sentence may be longer."""


def save(
    model: EncoderDecoder,
    checkpoint: Checkpoint,
    tokenizers: Tokenizers,
    folder: Path,
    *,
    quantization: str | None = None,
) -> None:
    """Write a model as `ctranslate2.Translator` reads it.

    Heads that were pruned are zeros there, since all its layers have as many heads. Its `return_attention` gives the
    weights of the head that was chosen for alignment. CTranslate2's length penalty is
    `seq2seq.decoding.search.power_penalty`; the padding that our search forbids is `suppress_sequences=[["<pad>"]]`.
    What a translation is forced to begin with, such as a language, is `target_prefix` there.

    Args:
        model: to be written.
        checkpoint: that it is from.
        tokenizers: of the model.
        folder: that is empty.
        quantization: of the weights, as CTranslate2 calls it; None: float32.

    Raises:
        UserError: the model has parts that CTranslate2 does not know, naming them.
    """
    if quantization is not None:
        model = copy.deepcopy(model)  # CTranslate2 multiplies the weights by their scales where they lie
    encoder, decoder, alignment = model.encoder, model.decoder, checkpoint.alignment
    if not isinstance(encoder, TransformerEncoder) or not isinstance(decoder, TransformerDecoder):
        raise UserError("format=ctranslate2 is for model=transformer; use format=onnx for a recurrent model")
    for name, module in model.named_modules():
        if isinstance(module, MultiHeadAttention):
            _check_attention(name, module)
    layer = -1 if alignment is None else site_of(alignment.layer).layer
    spec = TransformerSpec(
        TransformerEncoderSpec(**_options(encoder)),
        TransformerDecoderSpec(**_options(decoder), alignment_layer=layer),
    )
    if alignment is not None and alignment.head is None:
        of_layer = decoder.layers[layer].cross_attention
        spec.decoder.alignment_heads = np.dtype("int16").type(of_layer.num_heads)  # the mean
    _embed(spec.encoder, spec.encoder.embeddings[0], encoder.embedding)
    _embed(spec.decoder, spec.decoder.embeddings, decoder.embedding)
    for made, ours in zip(spec.encoder.layer, encoder.layers, strict=True):
        _attend(made.self_attention, ours.self_attention, ours.self_residual, is_self=True)
        _feed(made.ffn, ours.feedforward, ours.feedforward_residual)
    for number, (made, theirs) in enumerate(zip(spec.decoder.layer, decoder.layers, strict=True)):
        first = alignment.head or 0 if alignment is not None and number == layer else 0
        first = theirs.cross_attention.heads.kept[first]
        _attend(made.self_attention, theirs.self_attention, theirs.self_residual, is_self=True)
        _attend(made.attention, theirs.cross_attention, theirs.cross_residual, is_self=False, first_head=first)
        _feed(made.ffn, theirs.feedforward, theirs.feedforward_residual)
    for made, norm in ((spec.encoder, encoder.norm), (spec.decoder, decoder.norm)):
        if isinstance(norm, nn.LayerNorm):
            _norm(made.layer_norm, norm)
    spec.decoder.projection.weight = _array(model.output.weight)
    if model.output.bias is not None:
        spec.decoder.projection.bias = _array(model.output.bias)

    vocabularies = [tokenizer.pieces(range(len(tokenizer))) for tokenizer in tokenizers]
    spec.register_source_vocabulary(vocabularies[0])
    spec.register_target_vocabulary(vocabularies[1])
    spec.config.add_source_eos = True
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = (vocabularies[1][i] for i in (UNK, BOS, EOS))
    spec.config.decoder_start_token = vocabularies[1][BOS]
    spec.config.add_attribute(FINGERPRINT, checkpoint.fingerprint)
    spec.validate()
    spec.optimize(quantization)  # tensors that are shared are written once
    spec.save(str(folder))


def _options(side: TransformerEncoder | TransformerDecoder) -> dict[str, Any]:
    """Return how a side is specified: its size, and how it knows where tokens stand."""
    attention, positions = side.layers[0].self_attention, side.embedding.positions
    options = {
        "num_layers": len(side.layers),
        "num_heads": attention.heads.total,
        "num_heads_kv": None if attention.heads.total_keys == attention.heads.total else attention.heads.total_keys,
        "pre_norm": side.layers[0].self_residual.norm_first,
        "activation": ACTIVATIONS[type(side.layers[0].feedforward[1])],
    }
    if isinstance(positions, RotaryPositions):
        return options | {"rotary_dim": 0, "rotary_interleave": True, "rotary_base": positions.base}
    if isinstance(positions, T5Positions):
        return options | {"relative_attention_bias": True}
    if isinstance(positions, ShawPositions):
        return options | {"relative_position": True}
    if type(positions) not in (SinusoidalPositions, LearnedPositions, NoPositions):
        raise UserError(
            f"format=ctranslate2 does not know {type(positions).__name__}; use format=onnx, or train with positions "
            "sinusoidal, learned, none, rotary, t5 or shaw"
        )
    return options


def _check_attention(name: str, module: MultiHeadAttention) -> None:
    score, normalizer = module.attention.score, module.attention.normalizer
    pattern, gate = module.attention.pattern, module.gate
    other = [] if pattern is None else [type(pattern).__name__]
    other += [] if gate is None else ["a gate"]
    if other:
        raise UserError(
            f"format=ctranslate2 knows attention to all tokens and without a gate alone, but {name} has "
            f"{' and '.join(other)}; use format=onnx"
        )
    if type(score) is not ScaledDot or type(normalizer) is not Softmax or normalizer.temperature != 1:
        raise UserError(
            f"format=ctranslate2 knows the scaled dot product and a plain softmax alone, but {name} has "
            f"{type(score).__name__} and {type(normalizer).__name__}; use format=onnx"
        )


def _embed(
    side: TransformerEncoderSpec | TransformerDecoderSpec, spec: LinearSpec, embedding: PositionedEmbedding
) -> None:
    if not isinstance(embedding.project, nn.Identity):
        raise UserError("format=ctranslate2 needs embeddings as wide as the model: model.d_embedding=model.d_model")
    d_model, positions = embedding.table.embedding_dim, embedding.positions
    length = len(positions.weight) if isinstance(positions, LearnedPositions) else POSITIONS
    spec.weight = _array(embedding.table.weight)
    side.scale_embeddings = embedding.scale != 1.0
    if hasattr(side, "position_encodings"):
        encodings = positions.embed(torch.zeros(1, length, d_model), torch.arange(length))[0]
        side.position_encodings.encodings = _array(encodings)
    for layer in side.layer:
        _place(layer.self_attention, positions)


def _place(spec: MultiHeadAttentionSpec, positions: Positions) -> None:
    """Fill in the table of positions that join the scores: each layer has it, and it is written once."""
    if isinstance(positions, T5Positions):
        weight: Tensor = positions.weight
        exact = positions.side // 2
        if positions.max_distance == exact:  # then no logarithm tells its other buckets apart: they are all the last
            weight = torch.cat(
                [torch.cat((w[:exact], w[-1:].expand(len(w) - exact, -1))) for w in weight.split(positions.side)]
            )
        spec.relative_attention_bias = _array(weight)
        distance = max(positions.max_distance, exact + 1)
        spec.relative_attention_max_distance = np.dtype("int32").type(distance)
    if isinstance(positions, ShawPositions):
        later = positions.max_distance - positions.furthest  # a decoder has no vectors for tokens to come
        keys = _array(F.pad(positions.weight, (0, 0, 0, later)))
        spec.relative_position_keys, spec.relative_position_values = keys, np.zeros_like(keys)


def _attend(
    spec: MultiHeadAttentionSpec,
    attention: MultiHeadAttention,
    residual: Residual,
    *,
    is_self: bool,
    first_head: int | None = None,
) -> None:
    """Fill in an attention; with one of its heads first, and pruned ones last: CTranslate2 reports the first."""
    kept = attention.heads.kept
    kept_keys = tuple(dict.fromkeys(head // attention.heads.each for head in kept))
    heads, key_heads = list(range(attention.heads.total)), list(range(attention.heads.total_keys))
    if first_head is not None:
        heads, key_heads = _orders(attention, first_head)
    query = attention.query
    projections = [(_by_head(query.weight, kept, heads), _by_head(query.bias, kept, heads))]
    for linear in (attention.key, attention.value):
        projections.append((_by_head(linear.weight, kept_keys, key_heads), _by_head(linear.bias, kept_keys, key_heads)))
    groups = [projections] if is_self else [projections[:1], projections[1:]]
    for linear, group in zip(spec.linear[:-1], groups, strict=True):
        linear.weight = _array(torch.cat([weight for weight, _ in group]))
        linear.bias = _array(torch.cat([bias for _, bias in group]))
    spec.linear[-1].weight = _array(_by_head(attention.output.weight.T, kept, heads).T)
    spec.linear[-1].bias = _array(attention.output.bias)
    _norm(spec.layer_norm, residual.norm)


def _orders(attention: MultiHeadAttention, first: int) -> tuple[list[int], list[int]]:
    """Return heads with one before the others and the pruned ones last, and key heads: those that share stay together.

    Heads are called as they were before any was pruned.
    """
    all_heads = attention.heads
    pruned = set(range(all_heads.total)) - set(all_heads.kept)
    key_heads = sorted(
        range(all_heads.total_keys),
        key=lambda key: (key != first // all_heads.each, pruned >= set(all_heads.sharing(key)), key),
    )
    heads = [
        head for key in key_heads for head in sorted(all_heads.sharing(key), key=lambda h: (h != first, h in pruned, h))
    ]
    return heads, key_heads


def _by_head(x: Tensor, kept: Sequence[int], order: Sequence[int]) -> Tensor:
    """Return rows (kept heads · d, ...) as (heads · d, ...) in an order, with zeros for the heads that were pruned."""
    blocks = x.unflatten(0, (len(kept), -1))
    whole = blocks.new_zeros(len(order), *blocks.shape[1:])
    whole[list(kept)] = blocks
    return whole[list(order)].flatten(0, 1)


def _feed(spec: Any, feedforward: FeedForward, residual: Residual) -> None:
    for made, linear in ((spec.linear_0, feedforward[0]), (spec.linear_1, feedforward[-1])):
        assert isinstance(linear, nn.Linear)
        made.weight, made.bias = _array(linear.weight), _array(linear.bias)
    _norm(spec.layer_norm, residual.norm)


def _norm(spec: LayerNormSpec, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().contiguous().cpu().numpy()
