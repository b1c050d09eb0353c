"""A number for each head, by which its context is multiplied: 0 takes the head away."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from seq2seq.attention import MultiHeadAttention


def multihead_attentions(model: nn.Module) -> dict[str, MultiHeadAttention]:
    """Return the multi-head attentions of a model by module name, in the order of the model's parts."""
    return {name: module for name, module in model.named_modules() if isinstance(module, MultiHeadAttention)}


@contextmanager
def mask_heads(model: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Multiply each head's context, before W_O, by ξ_h while the block runs (Michel et al. 2019, eq. 1).

        output = Σ_h ξ_h · context_h W_O^h + b_O

    Outside the block nothing changes, and nothing is slower: it is a hook on W_O.

    Args:
        model: with multi-head attention in it.
        masks: ξ by the attention's module name, (heads,), or (batch, heads) for a number a sentence.
    """
    attentions = multihead_attentions(model)
    handles = []
    for name, mask in masks.items():

        def weigh(_: nn.Module, args: tuple[Any, ...], mask: Tensor = mask) -> tuple[Any, ...]:
            contexts = args[0].unflatten(-1, (mask.shape[-1], -1))  # (batch, query, heads, d_value)
            return ((contexts * mask.to(contexts.dtype)[..., None, :, None]).flatten(-2),)

        handles.append(attentions[name].output.register_forward_pre_hook(weigh))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
