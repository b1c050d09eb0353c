"""Which parameter of a Transformer of ours is which of Marian's or M2M100's; both directions go by this list."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Part(NamedTuple):
    """A module with weights: a linear map, or a layer norm."""

    ours: str
    theirs: str
    writes: bool  # whether its outputs are the states that all layers share; else these are its inputs


ATTENTION = (("query", "q_proj", False), ("key", "k_proj", False), ("value", "v_proj", False),
             ("output", "out_proj", True))  # fmt: skip
SOURCE_TABLE, TARGET_TABLE = "encoder.embedding.table.weight", "decoder.embedding.table.weight"
OUTPUT, OUTPUT_BIAS = "output.weight", "output.bias"
SHARED, LOGITS, LOGITS_BIAS = "model.shared.weight", "lm_head.weight", "final_logits_bias"


def their_table(side: str) -> str:
    """Return what they call the embeddings of a side, `encoder` or `decoder`."""
    return f"model.{side}.embed_tokens.weight"


def parts(*, encoder_layers: int, decoder_layers: int, norm_first: bool) -> Iterator[Part]:
    """Yield all modules of a model but its embeddings and its projection to the vocabulary."""
    for side, layers in (("encoder", encoder_layers), ("decoder", decoder_layers)):
        seats = [("self", "self_attn")] + [("cross", "encoder_attn")] * (side == "decoder")
        for layer in range(layers):
            ours, theirs = f"{side}.layers.{layer}", f"model.{side}.layers.{layer}"
            for seat, name in seats:
                for mine, other, writes in ATTENTION:
                    yield Part(f"{ours}.{seat}_attention.{mine}", f"{theirs}.{name}.{other}", writes)
                yield Part(f"{ours}.{seat}_residual.norm", f"{theirs}.{name}_layer_norm", True)
            yield Part(f"{ours}.feedforward.0", f"{theirs}.fc1", False)
            yield Part(f"{ours}.feedforward.3", f"{theirs}.fc2", True)
            yield Part(f"{ours}.feedforward_residual.norm", f"{theirs}.final_layer_norm", True)
        if norm_first:
            yield Part(f"{side}.norm", f"model.{side}.layer_norm", True)


def marian_order(d_model: int) -> Tensor:
    """Return which number of Marian's states each of ours is, (d_model,).

    Marian has the sines of a place first and then the cosines; ours alternate. To the layers the order is nothing.
    """
    return torch.arange(d_model).view(2, -1).T.flatten()


def reorder(part: Part, name: str, tensor: Tensor, order: Tensor | None) -> Tensor:
    """Return a parameter, `weight` or `bias`, of a part for states in another order; None: the same order."""
    if order is None:
        return tensor
    if part.writes:
        return tensor[order]
    return tensor[:, order] if name == "weight" else tensor
