"""Methods that follow attention from layer to layer, against values computed by hand and by loops."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from seq2seq.alignment.shares import shares
from seq2seq.attention import Leaky, record_attention
from seq2seq.attribution import Alti, Forced, Method, Rollout, ValueZeroing
from seq2seq.attribution.alti import nearness
from seq2seq.attribution.flow import Input, LayerMap, Sublayer, flow, inputs
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.models.transformer_layers import Residual

Pair = Callable[..., Forced]


def test_flow_through_two_layers_is_that_by_hand() -> None:
    """Two source tokens a, b and two steps; halves and quarters, so that the products are exact."""
    first = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    second = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    # E = second · first = [[.5, .5], [.25, .75]]
    low = LayerMap(torch.tensor([[0.5, 0.0], [0.0, 0.5]]), torch.tensor([[0.5, 0.0], [0.25, 0.25]]))
    high = LayerMap(torch.tensor([[0.0, 0.5], [0.0, 0.0]]), torch.tensor([[0.5, 0.0], [0.5, 0.5]]))
    # low: source [[.25, .25], [.125, .375]], prefix [[.5, 0], [.25, .25]]
    # high, step 1: source .5 · [.25, .75] + .5 · [.25, .25] = [.25, .5], prefix .5 · [.5, 0] = [.25, 0]
    # high, step 2: source .5 · [.25, .25] + .5 · [.125, .375] = [.1875, .3125], prefix [.375, .125]
    source, prefix = flow([first, second], [low, high])
    assert_close(source, torch.tensor([[0.25, 0.5], [0.1875, 0.3125]]))
    assert_close(prefix, torch.tensor([[0.25, 0.0], [0.375, 0.125]]))


def test_nearness_is_that_by_hand() -> None:
    """y = (3, -1), norm 4. Parts (2, 0), (1, -1), (-3, 0) miss it by 2, 2 and 7: nearness 2, 2 and 0."""
    nothing: Any = None
    residual = Residual(2, dropout=0.0, norm_first=True)
    output = torch.tensor([[[3.0, -1.0]]])
    ran = Sublayer(nothing, residual, output, output, nothing, output, output, output)
    found = nearness(ran, torch.tensor([[[2.0, 0.0], [1.0, -1.0], [-3.0, 0.0]]]))
    assert_close(found, torch.tensor([[2.0, 2.0, 0.0]]))


@pytest.mark.parametrize("method", [Rollout(), ValueZeroing(), Alti()], ids=lambda method: method.name)
def test_shares_of_a_step_sum_to_one_and_nothing_comes_from_later(
    layered: EncoderDecoder, pair: Pair, method: Method
) -> None:
    found = method(pair(layered))
    assert (found.source >= 0).all() and (found.prefix >= 0).all()
    assert_close(
        found.source.sum(-1) + found.prefix.sum(-1), torch.ones(5, dtype=found.source.dtype), rtol=0, atol=1e-6
    )
    assert found.prefix[0, 1:].count_nonzero() == 0 and found.prefix[1, 2:].count_nonzero() == 0


def test_rollout_is_the_product_of_the_recorded_weights(layered: EncoderDecoder, pair: Pair) -> None:
    forced = pair(layered)
    with torch.no_grad(), record_attention(layered) as record:
        forced(forced.source, forced.prefix)
    mean = {name: shares(weights)[0].mean(0).double() for name, weights in record.items()}
    mean = {name: weights / weights.sum(-1, keepdim=True) for name, weights in mean.items()}
    states, prefix, source = torch.eye(6).double(), torch.eye(5).double(), torch.zeros(5, 6).double()
    for layer in range(2):
        states = (mean[f"encoder.layers.{layer}.self_attention.attention"] + torch.eye(6).double()) / 2 @ states
    for layer in range(2):
        own = (mean[f"decoder.layers.{layer}.self_attention.attention"] + torch.eye(5).double()) / 2
        cross = mean[f"decoder.layers.{layer}.cross_attention.attention"]
        source, prefix = cross @ states / 2 + own @ source / 2, own @ prefix / 2
    expected = forced.sum_units(source, prefix)
    found = Rollout()(forced)
    assert_close((found.source, found.prefix), expected, rtol=0, atol=1e-6, check_dtype=False)


def out_of_values(taken: Input, kept: Tensor, own: bool) -> Tensor:
    """Return what a layer puts out, run as the model runs it, where only some rows of a value projection are kept."""
    layer = taken.layer
    attention = layer.self_attention if own else layer.cross_attention

    def zero(_: Any, args: Any, value: Tensor) -> Tensor:
        return value * kept[:, None]

    handle = attention.value.register_forward_hook(zero)
    try:
        if taken.memory is None:
            return layer(taken.x, taken.mask)[0]
        memory = taken.memory
        if not own:  # made before the layers ran
            memory = memory._replace(value=memory.value * kept[:, None])
        return layer(
            taken.x,
            lambda x: layer.self_attention(x, layer.self_attention.memory(x, x), causal=True)[0],
            memory,
        )[0]
    finally:
        handle.remove()


def turns(taken: Input, length: int, own: bool) -> Tensor:
    every = torch.ones(length, dtype=torch.float64)
    whole = out_of_values(taken, every, own)
    columns = []
    for j in range(length):
        kept = every.clone()
        kept[j] = 0
        columns.append(1 - F.cosine_similarity(out_of_values(taken, kept, own), whole, dim=-1))
    return torch.stack(columns, dim=-1)


@torch.no_grad()
def test_value_zeroing_is_a_loop_over_layers_and_tokens(layered: EncoderDecoder, pair: Pair) -> None:
    forced = pair(layered)
    encoder, decoder = inputs(forced)
    states, prefix, source = torch.eye(6).double(), torch.eye(5).double(), torch.zeros(5, 6).double()
    for layer in encoder:
        found = turns(layer, 6, own=True)
        states = found / found.sum(-1, keepdim=True) @ states
    for layer in decoder:
        own, cross = turns(layer, 5, own=True), turns(layer, 6, own=False)
        total = own.sum(-1, keepdim=True) + cross.sum(-1, keepdim=True)
        source, prefix = cross / total @ states + own / total @ source, own / total @ prefix
    expected = forced.sum_units(source, prefix)
    made = ValueZeroing()(forced)
    assert_close((made.source, made.prefix), expected, rtol=0, atol=1e-3)


def near_by_hand(y: Tensor, brought: list[Tensor], own: int) -> Tensor:
    """Return max(0, |y| - |y - part|) of one step, scaled to sum to 1; where no part is near, all is its own."""
    near = torch.stack([(y.abs().sum() - (y - part).abs().sum()).clamp(min=0) for part in brought])
    if near.sum() == 0:
        near[own] = 1
    return near / near.sum()


@torch.no_grad()
def test_alti_is_a_loop_over_layers_steps_and_tokens(layered: EncoderDecoder, pair: Pair) -> None:
    """Each token's part is what an attention puts out of its value alone, less what it puts out of none."""
    forced = pair(layered)
    encoder, decoder = inputs(forced)

    def mapped(attention: Any, residual: Any, x: Tensor, memory: Any, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
        query = residual.norm(x) if residual.norm_first else x
        memory = attention.memory(query, query, memory) if memory is None or torch.is_tensor(memory) else memory
        length = memory.value.shape[-2]

        def brings(j: int | None) -> Tensor:
            kept = torch.zeros(length, 1).double()
            if j is not None:
                kept[j] = 1
            return attention(query, memory._replace(value=memory.value * kept), causal=causal)[0][0]

        none = brings(None)
        total = (x + attention(query, memory, causal=causal)[0])[0]
        rows = []
        for i in range(x.shape[1]):
            alone = [(brings(j) - none)[i] for j in range(length)]
            own = [*alone[:i], alone[i] + x[0, i], *alone[i + 1 :]] if memory_is_own(memory, x) else [*alone, x[0, i]]
            y = total[i]
            if not residual.norm_first:
                norm, deviation = residual.norm, (total[i].var(unbiased=False) + residual.norm.eps).sqrt()
                own = [(part - part.mean()) / deviation * norm.weight for part in own]
                y = norm(total[i])
            rows.append(near_by_hand(y, own, i if memory_is_own(memory, x) else -1))
        return torch.stack(rows), total, total[None] if residual.norm_first else residual.norm(total[None])

    def memory_is_own(memory: Any, x: Tensor) -> bool:
        return memory.value.shape[-2] == x.shape[1]  # the two sides are of unequal length

    states, prefix, source = torch.eye(6).double(), torch.eye(5).double(), torch.zeros(5, 6).double()
    for layer, x, mask, _ in encoder:
        states = mapped(layer.self_attention, layer.self_residual, x, mask, False)[0] @ states
    for layer, x, _, memory in decoder:
        own, _, x = mapped(layer.self_attention, layer.self_residual, x, None, True)
        cross, _, _ = mapped(layer.cross_attention, layer.cross_residual, x, memory, False)
        kept = cross[:, -1:] * own
        source, prefix = cross[:, :-1] @ states + kept @ source, kept @ prefix
    made = Alti()(forced)
    assert_close((made.source, made.prefix), forced.sum_units(source, prefix), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", [Rollout(), ValueZeroing(), Alti()], ids=lambda method: method.name)
@pytest.mark.parametrize(("kind", "side"), [("bahdanau", "encoder"), ("bottleneck", "encoder"), ("mixed", "decoder")])
def test_recurrent_side_has_no_layers_to_follow(
    models: Callable[[str], EncoderDecoder], method: Method, kind: str, side: str
) -> None:
    with pytest.raises(UserError, match=f"method={method.name} .* this {side}.*method=erasure"):
        method.check(models(kind))


def test_alti_refuses_a_context_that_is_changed_after(models: Callable[[str], EncoderDecoder]) -> None:
    model = models("transformer")
    attention: Any = model.decoder
    attention = attention.layers[0].cross_attention.attention
    usual, attention.normalizer = attention.normalizer, Leaky(num_heads=2, d_value=8)
    try:
        with pytest.raises(UserError, match="method=alti .*Leaky.*rollout"):
            Alti().check(model)
    finally:
        attention.normalizer = usual
