"""The recorder: weights of a model that knows nothing of it."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from seq2seq.attention import Additive, Attention, Dot, LocalP, MultiHeadAttention, Window, record_attention

BATCH, TARGET, SOURCE, D = 2, 5, 7, 6


class Model(nn.Module):
    """A self-attention layer with two heads, then a single attention that is asked once a target position."""

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers: Any = nn.ModuleList([MultiHeadAttention(D, 2, dropout=dropout)])
        self.stepwise = Attention(Dot(D, D), dropout=dropout)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        layer = self.layers[0]
        x, _ = layer(target, layer.memory(target, target), causal=True)
        memory = self.stepwise.memory(source, source)
        return torch.cat([self.stepwise(query, memory)[0] for query in x.split(1, dim=1)], dim=1)


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    return torch.randn(BATCH, TARGET, D), torch.randn(BATCH, SOURCE, D)


@pytest.fixture
def fused_calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    calls: list[Tensor] = []
    kernel = F.scaled_dot_product_attention

    def spy(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(kernel(*args, **kwargs))
        return calls[-1]

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    return calls


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_weights_come_by_module_name_and_steps_are_joined(inputs: tuple[Tensor, Tensor]) -> None:
    model = Model()
    with record_attention(model) as record:
        model(*inputs)
    assert {name: tuple(weights.shape) for name, weights in record.items()} == {
        "layers.0.attention": (BATCH, 2, TARGET, TARGET),
        "stepwise": (BATCH, 1, TARGET, SOURCE),
    }
    assert len(record) == 2
    target, source = inputs
    layer = model.layers[0]
    x, expected = layer(target, layer.memory(target, target), causal=True, need_weights=True)
    assert_close(record["layers.0.attention"], expected.detach())
    together = model.stepwise(x, model.stepwise.memory(source, source), need_weights=True)[1]
    assert_close(record["stepwise"][:, 0], together.detach())


def test_weights_are_detached_and_before_dropout(inputs: tuple[Tensor, Tensor]) -> None:
    model = Model(dropout=0.5).train()
    with record_attention(model) as record:
        model(*inputs).sum().backward()
    for weights in record.values():
        assert not weights.requires_grad
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_outputs_are_the_same_inside_and_only_inside_is_explicit(
    inputs: tuple[Tensor, Tensor], fused_calls: list[Tensor]
) -> None:
    model = Model()
    before = model(*inputs)
    calls = len(fused_calls)
    assert calls == 1 + TARGET
    with record_attention(model) as record:
        inside = model(*inputs)
        assert len(fused_calls) == calls
    after = model(*inputs)
    assert len(fused_calls) == 2 * calls
    assert_close(inside, before)
    assert_close(after, before, atol=0, rtol=0)
    assert record["stepwise"].shape[-2] == TARGET
    assert hooks(model) == 0


def test_an_exception_inside_leaves_no_hook(inputs: tuple[Tensor, Tensor]) -> None:
    model = Model()
    with pytest.raises(RuntimeError, match="stop"), record_attention(model):
        model(*inputs)
        assert hooks(model) == 4
        raise RuntimeError("stop")
    assert hooks(model) == 0
    _, weights = model.stepwise(inputs[0], model.stepwise.memory(inputs[1], inputs[1]))
    assert weights is None


def test_two_recordings_are_two_records(inputs: tuple[Tensor, Tensor]) -> None:
    model = Model()
    with record_attention(model) as first:
        model(*inputs)
    with record_attention(model) as second:
        model(inputs[0][:, :3], inputs[1])
    assert first["stepwise"].shape[-2] == TARGET
    assert second["stepwise"].shape[-2] == 3


def test_a_caller_who_wants_weights_still_gets_them(inputs: tuple[Tensor, Tensor]) -> None:
    attention = Attention(Additive(D, D))
    with record_attention(attention) as record:
        _, weights = attention(inputs[0], attention.memory(inputs[1], inputs[1]), need_weights=True)
    assert_close(record[""][:, 0], weights.detach())


def test_record_says_what_patterns_show_of_a_whole_pass_and_of_steps() -> None:
    x, mask = torch.randn(BATCH, 4, D), torch.tensor([[True] * 4, [True, True, False, False]])
    model: Any = nn.Module()
    model.heads = MultiHeadAttention(D, 2, pattern=partial(Window, width=1))
    model.guessed = Attention(Dot(D, D), pattern=LocalP(D, width=1))
    model.plain = Attention(Dot(D, D))
    with record_attention(model) as record:
        model.heads(x, model.heads.memory(x, x, mask[:, None, None]), causal=True)
        for attention in (model.guessed, model.plain):
            memory = attention.memory(x, x, mask[:, None])
            for place, query in enumerate(x.split(1, dim=1)):
                attention(query, memory, places=torch.tensor([place]))
    seen = record.seen()
    assert list(seen) == ["heads.attention", "guessed"]
    near = torch.ones(4, 4, dtype=torch.bool).triu(-1)
    assert_close(seen["heads.attention"].tril(), (near & mask[:, None, None]).expand(BATCH, 2, 4, 4).tril())
    assert seen["guessed"].shape == (BATCH, 1, 4, 4)
    assert_close(seen["guessed"], record["guessed"] > 0)
