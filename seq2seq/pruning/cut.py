"""The weights of a model with fewer heads, taken from those of the larger one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention import MultiHeadAttention
from seq2seq.attention.heads import copy_heads
from seq2seq.data.batching import collate
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.pruning.masks import mask_heads, multihead_attentions
from seq2seq.pruning.units import Unit

Kept = Mapping[str, Sequence[int]]
"""Heads by the attention's module name: those of the model's present heads, counted from 0, that are left."""

KEYS = {
    ("encoder", "self_attention"): ("encoder", "kept_heads"),
    ("decoder", "self_attention"): ("decoder", "kept_heads"),
    ("decoder", "cross_attention"): ("decoder", "kept_cross_heads"),
}
"""Side and name of an attention, and the key of the configuration that says what it keeps."""

CLOSE = 1e-4
"""How far apart, in logits relative to their largest, rounding may bring two ways to the same."""


def kept_after(model: nn.Module, removed: Iterable[Unit]) -> dict[str, list[int]]:
    """Return which heads of each attention are left when units are taken out."""
    gone = {(unit.attention, head) for unit in removed for head in unit.heads}
    return {
        name: [head for head in range(attention.num_heads) if (name, head) not in gone]
        for name, attention in multihead_attentions(model).items()
    }


def kept_options(model: nn.Module, kept: Kept) -> dict[tuple[str, str], list[list[int]]]:
    """Return what the configuration of the smaller model says, by side and key: a list of heads a layer.

    Heads are called as they were before any was taken out, so that a pruned model can be pruned again.

    Raises:
        UserError: an attention is not where a configuration can say what it keeps.
    """
    options: dict[tuple[str, str], list[list[int]]] = {}
    for name, attention in multihead_attentions(model).items():  # layers come in their order
        side, *_, own = name.split(".")
        if (side, own) not in KEYS:
            raise UserError(f"{name} is no attention of a Transformer of ours, so no head can be taken out of it")
        options.setdefault(KEYS[side, own], []).append([attention.heads.kept[head] for head in kept[name]])
    return options


@torch.no_grad()
def cut(model: EncoderDecoder, small: EncoderDecoder, kept: Kept) -> EncoderDecoder:
    """Give a smaller model, built for the heads that are kept, the weights of the larger one; return it.

    Of W_Q, W_K and W_V the rows of the others are left out, of W_O their columns, and of scores, normalisers, patterns
    and gates what is theirs.

    Raises:
        UserError: a part does not follow the number of heads.
    """
    attentions = multihead_attentions(model)
    inside = tuple(f"{name}." for name in attentions)
    state = model.state_dict()
    for name, tensor in small.state_dict().items():
        if not name.startswith(inside):  # positions are of the whole stack, and stand beside its embeddings too
            tensor.copy_(state[name])
    for name, attention in multihead_attentions(small).items():
        _cut_attention(attentions[name], attention, kept[name])
    return small.to(next(model.parameters()).device).train(model.training)


def _cut_attention(whole: MultiHeadAttention, small: MultiHeadAttention, kept: Sequence[int]) -> None:
    each = whole.num_heads // whole.num_key_heads
    shared = list(dict.fromkeys(head // each for head in kept))
    streams = whole.attention.normalizer.streams

    def rows(x: Tensor, heads: Sequence[int], count: int, streams: int = 1) -> Tensor:
        """Return x (streams · count · d, ...) for some heads, each with all its streams."""
        blocks = [stream * count + head for stream in range(streams) for head in heads]
        return x.unflatten(0, (streams * count, -1))[blocks].flatten(0, 1)

    projections: list[tuple[Any, Any, Sequence[int], int, int]] = [
        (whole.query, small.query, kept, whole.num_heads, streams),
        (whole.key, small.key, shared, whole.num_key_heads, streams),
        (whole.value, small.value, shared, whole.num_key_heads, 1),
        (whole.gate, small.gate, kept, whole.num_heads, 1),
    ]
    for before, after, heads, count, several in projections:
        if before is not None:
            after.weight.copy_(rows(before.weight, heads, count, several))
            after.bias.copy_(rows(before.bias, heads, count, several))
    small.output.weight.copy_(rows(whole.output.weight.T, kept, whole.num_heads).T)
    small.output.bias.copy_(whole.output.bias)
    for part in ("score", "normalizer", "pattern"):
        before, after = (getattr(attention.attention, part) for attention in (whole, small))
        if before is not None:
            copy_heads(before, after, kept, whole.num_heads)


@torch.no_grad()
def check_cut(model: EncoderDecoder, small: EncoderDecoder, kept: Kept) -> None:
    """Compare a smaller model with the larger one whose other heads are masked, on a few random pairs.

    Raises:
        UserError: they differ, as where a part of a user's own keeps something a head that is no tensor.
    """
    device = next(model.parameters()).device
    # The first few pieces that are no marks: any vocabulary has them.
    drawn = torch.randint(4, 8, (2, 11), generator=torch.Generator().manual_seed(1)).tolist()
    batch = collate([(drawn[0], drawn[1], 0), (drawn[1][:5], drawn[0][:7], 1)]).to(device)
    masks = {
        name: torch.tensor([float(head in kept[name]) for head in range(attention.num_heads)], device=device)
        for name, attention in multihead_attentions(model).items()
    }
    given = batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
    found = small(*given)
    with mask_heads(model, masks):
        expected = model(*given)
    if not (found - expected).abs().max() <= CLOSE * expected.abs().max().clamp(min=1):
        kinds = {type(a.attention.score).__name__ for a in multihead_attentions(model).values()}
        raise UserError(
            f"without the heads the model is another than with them masked: a part of its attention "
            f"({', '.join(sorted(kinds))}, or a pattern, normaliser or positions beside it) keeps something for "
            "each head that cannot be cut"
        )
