"""What must hold for attention in any live model.

A softmax over the wrong axis, or a mask that broadcasts wrongly, still trains: these checks are how one notices.
Each returns nothing, and raises `InvariantError` naming the likely cause.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention
from seq2seq.attention.masks import causal_mask, combine_masks
from seq2seq.attention.memory import Memory

TOLERANCE = 1e-4  # float32 sums over a few hundred keys


class InvariantError(AssertionError):
    """An invariant of attention does not hold; the message names it and the likely cause."""


def rows_sum_to_one(weights: Tensor, mask: Tensor | None = None) -> None:
    """Check that each row of weights (..., query, key) sums to 1, and to 0 where the row has no visible key."""
    expected = weights.new_ones(weights.shape[:-1])
    if mask is not None:
        expected = mask.expand(weights.shape).any(-1).to(weights.dtype)
    sums = weights.sum(-1)
    if ((sums == 0) & (expected == 1)).any():
        raise InvariantError("a row that must see keys sees none: does the mask broadcast as meant?")
    worst = (sums - expected).abs().max()
    if not worst <= TOLERANCE:
        raise InvariantError(f"a row of weights misses its sum by {worst:.3g}: normalised over the wrong axis?")


def hidden_keys_have_no_weight(weights: Tensor, mask: Tensor) -> None:
    """Check that weights (..., query, key) are exactly 0 where the mask, broadcastable to them, hides the key."""
    hidden = weights.masked_fill(mask, 0.0)
    if hidden.count_nonzero():
        raise InvariantError(f"a hidden key has weight {hidden.abs().max():.3g}: is the mask applied, True = visible?")


def hidden_inputs_change_nothing(
    forward: Callable[[Tensor], Tensor], inputs: Tensor, mask: Tensor, replacement: Tensor
) -> None:
    """Check that forward(inputs) stays the same when the positions that the mask hides are replaced.

    Args:
        forward: inputs to outputs, without randomness; only outputs of visible positions.
        inputs: (batch, length, ...), tokens or vectors.
        mask: (batch, length), True = real.
        replacement: of the inputs' shape and type: what to put into the padding.
    """
    visible = mask.reshape(mask.shape + (1,) * (inputs.dim() - mask.dim()))
    difference = (forward(inputs) - forward(torch.where(visible, inputs, replacement))).abs().max()
    if not difference <= TOLERANCE:
        raise InvariantError(f"padding changes an output by {difference:.3g}: does the mask broadcast as meant?")


def later_inputs_change_nothing(
    forward: Callable[[Tensor], Tensor], inputs: Tensor, replacement: Tensor, position: int
) -> None:
    """Check that other inputs (batch, length, ...) from `position` on change no output (batch, length, ...) before."""
    earlier = torch.arange(inputs.shape[1], device=inputs.device) < position
    changed = torch.where(earlier.reshape((1, -1) + (1,) * (inputs.dim() - 2)), inputs, replacement)
    difference = (forward(inputs) - forward(changed))[:, :position].abs().max()
    if not difference <= TOLERANCE:
        raise InvariantError(
            f"a later input changes an earlier output by {difference:.3g}: is the causal mask applied?"
        )


def equal_scores_give_the_mean(
    attention: Attention, query: Tensor, memory: Memory, *, causal: bool = False, visible_mask: Tensor | None = None
) -> None:
    """Check that equal scores give uniform weights over the visible keys, and their values' mean as context.

    Arguments as for `check_attention`.
    """
    handle = attention.score.register_forward_hook(lambda _, __, scores: torch.zeros_like(scores))
    try:
        context, weights = attention(query, memory, causal=causal, need_weights=True)
    finally:
        handle.remove()
    assert weights is not None
    visible = _visible(weights, memory.mask, causal, visible_mask).to(weights.dtype)
    uniform = visible / visible.sum(-1, keepdim=True).clamp(min=1)
    worst = torch.maximum((weights - uniform).abs().max(), (context - uniform.to(context) @ memory.value).abs().max())
    if not worst <= TOLERANCE:
        raise InvariantError(f"equal scores give weights {worst:.3g} away from uniform: wrong axis, or a wrong mask?")


def check_attention(
    attention: Attention, query: Tensor, memory: Memory, *, causal: bool = False, visible_mask: Tensor | None = None
) -> None:
    """Check the invariants of one attention call on its own arguments; the module must be in eval mode.

    Args:
        attention: what is checked.
        query: (..., query, d_query).
        memory: from `attention.memory`.
        causal: as in the call.
        visible_mask: what each query must see and nothing else, broadcastable to (..., query, key), known from
            elsewhere; None takes the memory's mask and `causal` at their word.
    """
    _, weights = attention(query, memory, causal=causal, need_weights=True)
    assert weights is not None
    mask = _visible(weights, memory.mask, causal, visible_mask)
    rows_sum_to_one(weights, mask)
    hidden_keys_have_no_weight(weights, mask)
    equal_scores_give_the_mean(attention, query, memory, causal=causal, visible_mask=visible_mask)


@torch.no_grad()
def check_model(
    model: nn.Module, run: Callable[[], Any], visible_mask: Callable[[str], Tensor | None] = lambda name: None
) -> None:
    """Check every attention call that `run` makes in the model, and name the layer of the first that fails.

    Args:
        model: with `Attention` modules in it.
        run: calls the model on a batch.
        visible_mask: what queries of the attention of a module name must see, as for `check_attention`, with a
            dimension for heads: (batch, heads or 1, query or 1, key).
    """
    calls: list[tuple[str, Attention, tuple[Any, ...], dict[str, Any]]] = []
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, Attention):

            def remember(attention: Any, args: Any, kwargs: Any, name: str = name) -> None:
                calls.append((name, attention, args, {"causal": kwargs.get("causal", False)}))

            handles.append(module.register_forward_pre_hook(remember, with_kwargs=True))
    was_training = model.training
    model.eval()
    try:
        run()
        for handle in handles:
            handle.remove()
        for name, attention, args, kwargs in calls:
            visible = visible_mask(name)
            if visible is not None and args[0].dim() == 3:  # a query without heads
                visible = visible.squeeze(1)
            try:
                check_attention(attention, *args, **kwargs, visible_mask=visible)
            except InvariantError as error:
                raise InvariantError(f"{name}: {error}") from None
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)


def _visible(weights: Tensor, mask: Tensor | None, causal: bool, known: Tensor | None) -> Tensor:
    """Return what may be seen, expanded to the shape of the weights."""
    if known is None:
        known = combine_masks(mask, causal_mask(*weights.shape[-2:], device=weights.device) if causal else None)
    return torch.ones_like(weights, dtype=torch.bool) if known is None else known.expand(weights.shape)
