"""Value zeroing: how far a layer's output turns when the value of one token is nothing."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq.attention import Memory
from seq2seq.attribution.flow import FlowMethod, Input, LayerMap, flow, inputs, rows_to_one
from seq2seq.attribution.forced import Forced
from seq2seq.attribution.method import Contributions

ROUNDING = 1e-6
"""A cosine distance below this is rounding."""


class ValueZeroing(FlowMethod):
    """Each layer's C_ij = cosine distance of its output at i with and without the value of j (Mohebbi et al. 2023, 3).

    The layer's weights stay as they are, and j is zeroed in all heads. Rows of C are scaled to 1 and multiplied through
    the layers; the residual, which is part of a layer's output, gets no share of its own, as in the paper. The paper
    has encoders alone: a decoder layer's row holds both its self-attention's tokens and the source's, measured at the
    same output. A row in which no value matters keeps its own token.
    """

    name = "value_zeroing"
    meaning = "share of the turn of the layers' outputs when the word's value is zero"

    @torch.no_grad()
    def __call__(self, forced: Forced) -> Contributions:
        """Return the contributions for a pair."""
        encoder, decoder = inputs(forced)
        maps = [_scaled(self._zeroed(forced, layer, of_source=True)) for layer in encoder]
        both = []
        for layer in decoder:
            turns = [self._zeroed(forced, layer, of_source=of_source) for of_source in (True, False)]
            num_source = turns[0].shape[-1]
            joined = _scaled(torch.cat(turns, dim=-1), first=num_source)
            both.append(LayerMap(joined[:, :num_source], joined[:, num_source:]))
        return Contributions(*forced.sum_units(*flow(maps, both)))

    def _zeroed(self, forced: Forced, taken: Input, *, of_source: bool) -> Tensor:
        """Return the distances (query, key), with each value of the source, or of the tokens before, zeroed in turn."""
        run = _decoder_layer if taken.memory is not None else _encoder_layer
        length = taken.memory.value.shape[-2] if taken.memory is not None and of_source else taken.x.shape[1]
        turns = taken.x.new_zeros(taken.x.shape[1], length)
        every = torch.ones(1, length, dtype=torch.bool, device=turns.device)
        whole = run(taken, every, of_source)
        for part in forced.batches(length):
            kept = ~torch.eye(length, dtype=torch.bool, device=turns.device)[part]
            turns[:, part] = (1 - F.cosine_similarity(run(taken, kept, of_source), whole, dim=-1)).T
        return turns.where(turns > ROUNDING, 0)


def _encoder_layer(taken: Input, kept: Tensor, of_source: bool) -> Tensor:
    """Return an encoder layer's output (variants, S, d_model), of the values that a variant (variants, S) keeps."""
    layer, x = taken.layer, taken.x.expand(len(kept), -1, -1)
    return layer.feedforward_residual(layer.self_residual(x, _attend(taken, kept, causal=False)), layer.feedforward)


def _decoder_layer(taken: Input, kept: Tensor, of_source: bool) -> Tensor:
    """Return a decoder layer's output (variants, T, d_model), of the values of one side that a variant keeps."""
    assert taken.memory is not None
    own = kept.new_ones(len(kept), taken.x.shape[1]) if of_source else kept
    read = kept if of_source else kept.new_ones(len(kept), taken.memory.value.shape[-2])
    x = taken.x.expand(len(kept), -1, -1)
    return taken.layer(x, _attend(taken, own, causal=True), _without(taken.memory, read))


def _attend(taken: Input, kept: Tensor, *, causal: bool) -> Callable[[Tensor], Tensor]:
    """Return a layer's self-attention, of the values that are kept."""
    attention = taken.layer.self_attention

    def attend(x: Tensor) -> Tensor:
        memory = _without(attention.memory(x, x, taken.mask), kept)
        return attention(x, memory, causal=causal)[0]

    return attend


def _without(memory: Memory, kept: Tensor) -> Memory:
    """Return a memory with zeros for the values (.., heads, key, d) that are not kept, (variants, key)."""
    keys = memory.keys.expand(len(kept), *memory.keys.shape[1:])
    return Memory(keys, memory.value * kept[:, None, :, None], memory.mask)


def _scaled(turns: Tensor, *, first: int = 0) -> Tensor:
    """Return rows that sum to 1; one of zeros has all at its own place, counted from column `first` on."""
    own = torch.zeros_like(turns)
    own.diagonal(first).fill_(1)
    return rows_to_one(turns, own)
