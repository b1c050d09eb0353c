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
from seq2seq.attention.normalizers import Normalizer

TOLERANCE = 1e-4  # float32 sums over a few hundred keys


class InvariantError(AssertionError):
    """An invariant of attention does not hold; the message names it and the likely cause."""


def rows_sum_to_one(weights: Tensor, mask: Tensor | None = None, *, row_sum: str = "one") -> None:
    """Check the sums of the rows of weights (..., query, key).

    Args:
        weights: to check.
        mask: broadcastable to the weights, True = visible; a row with no visible key sums to 0.
        row_sum: what other rows sum to, as `Attention.row_sum`: `one`, `at most one`, or `any` number.
    """
    seeing = torch.ones_like(weights[..., 0], dtype=torch.bool)
    if mask is not None:
        seeing = mask.expand(weights.shape).any(-1)
    sums = weights.sum(-1)
    if not sums.isfinite().all():
        raise InvariantError("a row of weights is not finite: did a score overflow?")
    if sums.masked_fill(seeing, 0.0).count_nonzero():
        raise InvariantError("a row that sees no key has weights: is the mask applied, True = visible?")
    if row_sum == "any":
        return
    if row_sum == "one" and ((sums == 0) & seeing).any():
        raise InvariantError("a row that must see keys sees none: does the mask broadcast as meant?")
    misses = (sums - seeing.to(sums.dtype)).abs() if row_sum == "one" else sums - 1
    worst = misses.max()
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
    """Check that other inputs (batch, length, ...) from `position` on change no output before."""
    earlier = torch.arange(inputs.shape[1], device=inputs.device) < position
    changed = torch.where(earlier.reshape((1, -1) + (1,) * (inputs.dim() - 2)), inputs, replacement)
    difference = (forward(inputs) - forward(changed))[:, :position].abs().max()
    if not difference <= TOLERANCE:
        raise InvariantError(
            f"a later input changes an earlier output by {difference:.3g}: is the causal mask applied?"
        )


def equal_scores_give_equal_weights(
    attention: Attention, query: Tensor, memory: Memory, *, visible_mask: Tensor | None = None, **call: Any
) -> None:
    """Check that equal scores give equal weights to all visible keys, and their sum of values as context.

    Arguments as for `check_attention`.
    """
    handle = attention.normalizer.register_forward_pre_hook(_make_scores_equal)
    try:
        context, weights = attention(query, memory, **{**call, "need_weights": True})
    finally:
        handle.remove()
    assert weights is not None
    visible = _visible(attention, query, memory, weights, visible_mask, call).to(weights.dtype)
    equal = visible * (weights.sum(-1, keepdim=True) / visible.sum(-1, keepdim=True).clamp(min=1))
    worst = (weights - equal).abs().max()
    if type(attention.normalizer).finish is Normalizer.finish:
        value = memory.value.repeat_interleave(_sharing(weights, memory.value), -3)
        worst = torch.maximum(worst, (context - equal.to(context) @ value).abs().max())
    if not worst <= TOLERANCE:
        raise InvariantError(f"equal scores give weights {worst:.3g} away from equal: wrong axis, or a wrong mask?")


def _make_scores_equal(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return torch.zeros_like(args[0]), *args[1:]


def check_attention(
    attention: Attention, query: Tensor, memory: Memory, *, visible_mask: Tensor | None = None, **call: Any
) -> None:
    """Check the invariants of one attention call on its own arguments; the module must be in eval mode.

    Args:
        attention: what is checked.
        query: (..., query, d_query).
        memory: from `attention.memory`.
        visible_mask: what each query must see without the pattern, and nothing else, broadcastable to
            (..., query, key), known from elsewhere; None takes the memory's mask and `causal` at their word.
        call: the other arguments of the call, such as `causal`.
    """
    _, weights = attention(query, memory, **{**call, "need_weights": True})
    assert weights is not None
    mask = _visible(attention, query, memory, weights, visible_mask, call)
    rows_sum_to_one(weights, mask, row_sum=attention.row_sum)
    hidden_keys_have_no_weight(weights, mask)
    if not attention.moves:
        equal_scores_give_equal_weights(attention, query, memory, visible_mask=visible_mask, **call)


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
                calls.append((name, attention, args, dict(kwargs)))

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


def _visible(
    attention: Attention, query: Tensor, memory: Memory, weights: Tensor, known: Tensor | None, call: dict[str, Any]
) -> Tensor:
    """Return what may be seen under mask and pattern, expanded to the shape of the weights."""
    if known is None:
        causal = causal_mask(*weights.shape[-2:], device=weights.device) if call.get("causal") else None
        known = combine_masks(memory.mask, causal)
    if attention.pattern is not None:
        places = call.get("places")
        places = torch.arange(weights.shape[-2], device=weights.device) if places is None else places
        # A pattern is asked with the mask that the call has; what is known from elsewhere hides more or nothing.
        sight = attention.pattern(query, places, weights.shape[-1], memory.mask)
        known = combine_masks(known, sight.mask)
    return torch.ones_like(weights, dtype=torch.bool) if known is None else known.expand(weights.shape)


def _sharing(weights: Tensor, value: Tensor) -> int:
    """Return how many heads of weights (..., heads, query, key) share each of the values' heads."""
    return weights.shape[-3] // value.shape[-3] if weights.dim() >= 4 else 1
