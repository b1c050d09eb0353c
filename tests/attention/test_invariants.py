"""The invariants hold on good attention, and each of the silent bugs is caught and its layer named."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seq2seq.attention import (
    Additive,
    Attention,
    Cosine,
    Dot,
    Entmax15,
    General,
    Location,
    MultiHeadAttention,
    Normalizer,
    ScaledDot,
    Score,
    Softmax,
    Sparsemax,
    padding_mask,
)
from seq2seq.attention.invariants import (
    InvariantError,
    check_attention,
    check_model,
    equal_scores_give_equal_weights,
    hidden_inputs_change_nothing,
    hidden_keys_have_no_weight,
    later_inputs_change_nothing,
    rows_sum_to_one,
)

SCORES = [Dot, ScaledDot, General, Additive, Cosine, Location]
D, HEADS, LENGTH = 6, 2, 7
MASK = padding_mask(torch.tensor([LENGTH, 3]), LENGTH)  # as many sentences as heads: a wrong mask still broadcasts.


class WrongAxis(Softmax):
    """Normalises over the queries."""

    def normalize(self, scores: Tensor) -> Tensor:
        return torch.softmax(scores, dim=-2)


class WrongBroadcast(Attention):
    """Takes the sentences' mask for the heads'."""

    def forward(self, query: Tensor, memory: Any, **options: Any) -> tuple[Tensor, Tensor | None]:
        return super().forward(query, memory._replace(mask=memory.mask.transpose(0, 1)), **options)


class MaskOverQueries(Attention):
    """Hides padded queries instead of padded keys."""

    def forward(self, query: Tensor, memory: Any, **options: Any) -> tuple[Tensor, Tensor | None]:
        return super().forward(query, memory._replace(mask=memory.mask.mT), **options)


class InvertedMask(Softmax):
    """Takes True for hidden."""

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(scores, None if mask is None else ~mask)


class NoCausalMask(Attention):
    """Forgets that it is causal."""

    def forward(self, query: Tensor, memory: Any, *, causal: bool = False, **options: Any) -> Any:
        return super().forward(query, memory, **options)


class Layers(nn.Module):
    """Self-attention layers over (batch, length, D), without a residual."""

    def __init__(self, *, causal: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.causal = causal
        self.layers: Any = nn.ModuleList(MultiHeadAttention(D, HEADS, dropout=dropout) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x, _ = layer(x, layer.memory(x, x, None if mask is None else mask[:, None, None]), causal=self.causal)
        return x


class WrongMaskBefore(Layers):
    """Gives its layers a mask (1, batch, 1, key) where (batch, 1, 1, key) is meant."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x, _ = layer(x, layer.memory(x, x, None if mask is None else mask[None, :, None]), causal=self.causal)
        return x


def corrupt(model: Layers, *, attention: type[Attention] = Attention, normalizer: type[Normalizer] = Softmax) -> None:
    """Put the bug into the middle layer."""
    layer = model.layers[1]
    layer.attention = attention(layer.attention.score, normalizer())


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("normalizer", [Softmax, Sparsemax, Entmax15])
@pytest.mark.parametrize("score", SCORES)
def test_good_attention_passes(score: type[Score], normalizer: type[Normalizer], causal: bool) -> None:
    attention = Attention(score(D, D), normalizer())
    x = torch.randn(3, LENGTH, D)
    mask = padding_mask(torch.tensor([LENGTH, 3, 0]), LENGTH)[:, None]
    check_attention(attention, x, attention.memory(x, x, mask), causal=causal)
    check_attention(attention, x, attention.memory(x, x), causal=causal)


@pytest.mark.parametrize("causal", [False, True])
def test_good_model_passes_and_is_left_as_it_was(causal: bool) -> None:
    model = Layers(causal=causal, dropout=0.5).train()
    x = torch.randn(2, LENGTH, D)
    check_model(model, lambda: model(x, MASK))
    assert model.training
    assert all(not m._forward_pre_hooks and not m._forward_hooks for m in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("bug", "message"),
    [
        ({"normalizer": WrongAxis}, "wrong axis"),
        ({"normalizer": InvertedMask}, r"sees none|hidden key"),
        ({"attention": WrongBroadcast}, "hidden key has weight"),
        ({"attention": MaskOverQueries}, r"sees none|hidden key"),
        ({"attention": NoCausalMask}, "hidden key has weight"),
    ],
    ids=["softmax over queries", "inverted mask", "mask over heads", "mask over queries", "no causal mask"],
)
def test_silent_bug_is_caught_and_its_layer_named(bug: dict[str, Any], message: str) -> None:
    model = Layers(causal=True)
    x = torch.randn(2, LENGTH, D)
    corrupt(model, **bug)
    model(x, MASK).sum().backward()  # It trains: nothing else would tell.
    with pytest.raises(InvariantError, match=rf"^layers\.1\.attention: .*({message})"):
        check_model(model, lambda: model(x, MASK))
    assert model.training
    assert all(not m._forward_pre_hooks and not m._forward_hooks for m in model.modules())


def test_wrong_mask_made_before_attention_changes_outputs() -> None:
    x, noise = torch.randn(2, LENGTH, D), torch.randn(2, LENGTH, D)
    good, bad = Layers(), WrongMaskBefore()
    hidden_inputs_change_nothing(lambda x: good(x, MASK)[MASK], x, MASK, noise)
    with pytest.raises(InvariantError, match="padding changes an output"):
        hidden_inputs_change_nothing(lambda x: bad(x, MASK)[MASK], x, MASK, noise)


def test_later_inputs_change_nothing_before_them_in_causal_attention_alone() -> None:
    x, noise = torch.randn(2, LENGTH, D), torch.randn(2, LENGTH, D)
    for position in (1, 3, LENGTH - 1):
        later_inputs_change_nothing(Layers(causal=True), x, noise, position)
        with pytest.raises(InvariantError, match="later input changes an earlier output"):
            later_inputs_change_nothing(Layers(causal=False), x, noise, position)


def test_hidden_and_later_inputs_may_be_tokens() -> None:
    table = nn.Embedding(11, D)
    causal = Layers(causal=True)
    tokens = torch.randint(11, (2, LENGTH))
    later_inputs_change_nothing(lambda t: causal(table(t)), tokens, (tokens + 1) % 11, 3)
    good = Layers()
    hidden_inputs_change_nothing(lambda t: good(table(t), MASK)[MASK], tokens, MASK, (tokens + 1) % 11)


def test_rows_must_sum_to_one_or_to_zero_where_nothing_is_visible() -> None:
    weights = torch.full((2, 3, 5), 0.2)
    mask = torch.ones(2, 1, 5, dtype=torch.bool)
    rows_sum_to_one(weights)
    rows_sum_to_one(weights, mask)
    mask[1] = False
    with pytest.raises(InvariantError):
        rows_sum_to_one(weights, mask)
    rows_sum_to_one(weights * mask, mask)
    with pytest.raises(InvariantError):
        rows_sum_to_one(weights * 0.999)
    with pytest.raises(InvariantError):
        rows_sum_to_one(weights * float("nan"))


def test_a_hidden_key_may_not_have_the_smallest_weight() -> None:
    weights = torch.tensor([[0.5, 0.5, 1e-30]])
    mask = torch.tensor([[True, True, False]])
    with pytest.raises(InvariantError, match="hidden key has weight"):
        hidden_keys_have_no_weight(weights, mask)
    hidden_keys_have_no_weight(weights * mask, mask)


def test_equal_scores_must_give_equal_weights() -> None:
    x = torch.randn(2, LENGTH, D)
    mask = MASK[:, None]
    good = Attention(Dot(D, D))
    equal_scores_give_equal_weights(good, x, good.memory(x, x, mask), causal=True)
    bad = Attention(Dot(D, D), InvertedMask())
    with pytest.raises(InvariantError, match="away from equal"):
        equal_scores_give_equal_weights(bad, x, bad.memory(x, x, mask))
    assert not bad.score._forward_hooks
