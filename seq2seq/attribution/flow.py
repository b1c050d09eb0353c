"""How much of each word flows through the layers of a Transformer into each step: layer maps, multiplied."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention import Memory, MultiHeadAttention
from seq2seq.attribution.forced import Forced
from seq2seq.attribution.method import Method
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder

ANY_MODEL = "method=erasure, gradient_x_input or integrated_gradients"
"""Methods that every model has."""


class Input(NamedTuple):
    """What a layer took in."""

    layer: Any  # with self_attention and its residuals, in a decoder with cross_attention, too
    x: Tensor  # (1, length, d_model)
    mask: Tensor | None  # of an encoder layer, (1, 1, 1, S)
    memory: Memory | None  # of a decoder layer: the source


class Sublayer(NamedTuple):
    """An attention and the residual around it, as they ran."""

    attention: MultiHeadAttention
    residual: Any
    x: Tensor  # (1, query, d_model): before
    query: Tensor  # what the attention read of it
    memory: Memory
    weights: Tensor  # (1, heads, query, key)
    total: Tensor  # (1, query, d_model): x and what the attention adds to it
    output: Tensor  # (1, query, d_model): that, in post-norm after the norm


class LayerMap(NamedTuple):
    """Of what a decoder layer makes each step: rows of both together sum to 1."""

    source: Tensor  # (T, S): of the encoder's states
    prefix: Tensor  # (T, T): of the layer's own inputs


class FlowMethod(Method):
    """A method that multiplies maps of layers: for Transformers, whatever word a step says."""

    of_token = False

    def check(self, model: EncoderDecoder) -> None:
        """Refuse a model that is not layers of multi-head attention on both sides.

        Raises:
            UserError: naming the side.
        """
        for key, needed in (("encoder", ("self_attention",)), ("decoder", ("self_attention", "cross_attention"))):
            side: Any = getattr(model, key)
            layers = getattr(side, "layers", ())
            parts = (getattr(layer, part, None) for layer in layers for part in needed)
            if not layers or not all(isinstance(part, MultiHeadAttention) for part in parts):
                raise UserError(
                    f"method={self.name} follows attention from layer to layer, and this {key} ({type(side).__name__}) "
                    f"has no such layers; use {ANY_MODEL}"
                )


def inputs(forced: Forced) -> tuple[list[Input], list[Input]]:
    """Return what each layer of the encoder and of the decoder takes in for a pair."""
    sides: tuple[list[Input], list[Input]] = ([], [])
    model: Any = forced.model
    with _keeping(model.encoder.layers, sides[0]), _keeping(model.decoder.layers, sides[1]):
        forced(forced.source, forced.prefix)
    return sides


@contextmanager
def _keeping(layers: nn.ModuleList, kept: list[Input]) -> Iterator[None]:
    """Keep what goes into each layer."""

    def keep(layer: Any, args: tuple[Any, ...]) -> None:
        of_decoder = hasattr(layer, "cross_attention")
        kept.append(Input(layer, args[0], None if of_decoder else args[1], args[2] if of_decoder else None))

    handles = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def sublayers(taken: Input) -> list[Sublayer]:
    """Return a layer's self-attention and, in a decoder, its cross-attention, run once more."""
    layer, x, mask, memory = taken
    causal = memory is not None
    found = [_run(layer.self_attention, layer.self_residual, x, mask=mask, causal=causal)]
    if memory is not None:
        found.append(_run(layer.cross_attention, layer.cross_residual, found[0].output, memory=memory))
    return found


def _run(
    attention: MultiHeadAttention,
    residual: Any,
    x: Tensor,
    *,
    memory: Memory | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
) -> Sublayer:
    query = residual.norm(x) if residual.norm_first else x
    memory = attention.memory(query, query, mask) if memory is None else memory
    attended, weights = attention(query, memory, causal=causal, need_weights=True)
    assert weights is not None
    total = x + attended
    output = total if residual.norm_first else residual.norm(total)
    return Sublayer(attention, residual, x, query, memory, weights, total, output)


def flow(encoder: list[Tensor], decoder: list[LayerMap]) -> tuple[Tensor, Tensor]:
    """Return the shares (T, S) of source tokens and (T, T) of prefix tokens in the decoder's last states.

    Encoder maps are multiplied, E = A_L ... A_1 (Abnar & Zuidema 2020, eq. 1); then, layer by layer, with the two parts
    of a decoder layer's map, as Ferrando et al. 2022 (ALTI+, eq. 10-12) join the two sides:

        source ← C_source E + C_prefix source,    prefix ← C_prefix prefix

    Args:
        encoder: maps (S, S), the lowest layer first.
        decoder: maps, likewise.
    """
    states = torch.eye(len(encoder[0]), dtype=encoder[0].dtype, device=encoder[0].device)
    for layer in encoder:
        states = layer @ states
    steps = decoder[0].prefix
    source = steps.new_zeros(len(steps), len(states))
    prefix = torch.eye(len(steps), dtype=steps.dtype, device=steps.device)
    for from_source, from_prefix in decoder:
        source, prefix = from_source @ states + from_prefix @ source, from_prefix @ prefix
    return source, prefix


def rows_to_one(rows: Tensor, keeping: Tensor) -> Tensor:
    """Return shares (..., query, key) of numbers of 0 or more; a row of zeros becomes that of `keeping`."""
    total = rows.sum(-1, keepdim=True)
    return (rows / total.where(total > 0, 1)).where(total > 0, keeping)
