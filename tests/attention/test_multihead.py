"""Multi-head attention against torch.nn.MultiheadAttention, and with every score inside."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seq2seq.attention import (
    Additive,
    AlibiPositions,
    Cosine,
    Differential,
    Dot,
    Entmax15,
    General,
    Linear,
    Location,
    MultiHeadAttention,
    NoPositions,
    Normalizer,
    Positions,
    RotaryPositions,
    ScaledDot,
    Score,
    ShawPositions,
    Softmax,
    Sparsemax,
    Synthesizer,
    T5Positions,
    Uniform,
    padding_mask,
)
from seq2seq.errors import UserError

SCORES = [Dot, ScaledDot, General, Additive, Cosine, Location, Synthesizer, Uniform, Linear]
D, HEADS, BATCH, QUERIES, KEYS = 15, 3, 2, 7, 11


def theirs_with_weights_of(ours: MultiHeadAttention, *, d_memory: int) -> nn.MultiheadAttention:
    same = d_memory == D
    theirs = nn.MultiheadAttention(
        D, HEADS, batch_first=True, kdim=None if same else d_memory, vdim=None if same else d_memory
    ).double()
    projections = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)  # biases start at zero: that would hide a mix-up.
        if same:
            theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        else:
            for name, projection in zip("qkv", projections, strict=True):
                getattr(theirs, f"{name}_proj_weight").copy_(projection.weight)
        theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    return theirs


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("padded", [True, False], ids=["padded", "full"])
@pytest.mark.parametrize(
    ("kind", "causal", "d_memory"),
    [("self", False, D), ("self", True, D), ("cross", False, D), ("cross", False, 13)],
    ids=["self", "causal self", "cross", "cross, other size"],
)
def test_equals_torch_in_outputs_weights_and_gradients(
    kind: str, causal: bool, d_memory: int, padded: bool, need_weights: bool
) -> None:
    ours = MultiHeadAttention(D, HEADS, d_memory=d_memory).double()
    theirs = theirs_with_weights_of(ours, d_memory=d_memory)
    x = torch.randn(BATCH, KEYS if kind == "self" else QUERIES, D, dtype=torch.float64, requires_grad=True)
    source = torch.randn(BATCH, KEYS, d_memory, dtype=torch.float64, requires_grad=True)
    key = x if kind == "self" else source
    mask = padding_mask(torch.tensor([KEYS, 3]), KEYS) if padded else None

    memory = ours.memory(key, key, None if mask is None else mask[:, None, None])
    actual, weights = ours(x, memory, causal=causal, need_weights=need_weights)
    hidden = ~torch.ones(KEYS, KEYS, dtype=torch.bool).tril() if causal else None
    expected, expected_weights = theirs(
        x, key, key, key_padding_mask=None if mask is None else ~mask, attn_mask=hidden, average_attn_weights=False
    )
    assert_close(actual, expected)
    if need_weights:
        assert weights.shape == (BATCH, HEADS, x.shape[1], KEYS)
        assert_close(weights, expected_weights)

    def gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
        upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
        return list(torch.autograd.grad(output, inputs, upstream))

    inputs = [x] if kind == "self" else [x, source]
    parameters = [p for m in (ours.query, ours.key, ours.value) for p in (m.weight, m.bias)]
    *our_inputs, our_output = gradients(actual, [*inputs, *parameters, ours.output.weight])
    their_weights = (
        [theirs.in_proj_weight] if d_memory == D else [theirs.q_proj_weight, theirs.k_proj_weight, theirs.v_proj_weight]
    )
    *rest, their_bias, their_output = gradients(
        expected, [*inputs, *their_weights, theirs.in_proj_bias, theirs.out_proj.weight]
    )
    assert_close(our_inputs[: len(inputs)], rest[: len(inputs)])
    ours_stacked = our_inputs[len(inputs) :: 2]
    assert_close(torch.cat([w.flatten() for w in ours_stacked]), torch.cat([w.flatten() for w in rest[len(inputs) :]]))
    assert_close(torch.cat(our_inputs[len(inputs) + 1 :: 2]), their_bias)
    assert_close(our_output, their_output)


@pytest.mark.parametrize("score", SCORES)
def test_a_head_is_an_attention_of_its_own_with_its_own_parameters(score: type[Score]) -> None:
    attention = MultiHeadAttention(D, HEADS, score=score).double()
    with torch.no_grad():
        for parameter in attention.attention.score.parameters():
            assert parameter.shape[0] == HEADS
            parameter.add_(torch.randn_like(parameter) / 3)
    x, source = (torch.randn(BATCH, n, D, dtype=torch.float64) for n in (QUERIES, KEYS))
    _, weights = attention(x, attention.memory(source, source), need_weights=True)
    for head in range(HEADS):
        single = score(D // HEADS, D // HEADS).double()
        with torch.no_grad():
            for name, parameter in single.named_parameters():
                parameter.copy_(attention.attention.score.get_parameter(name)[head].view_as(parameter))
        columns = slice(head * D // HEADS, (head + 1) * D // HEADS)
        queries = attention.query(x) if attention.query else x
        keys = attention.key(source) if attention.key else source
        scores = single(queries[..., columns], single.project_keys(keys[..., columns]))
        assert_close(weights[:, head], scores.softmax(-1))


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("normalizer", [Softmax, Sparsemax, Entmax15])
@pytest.mark.parametrize("score", SCORES)
def test_forward_and_backward_run_without_data(
    score: type[Score], normalizer: type[Normalizer], need_weights: bool
) -> None:
    with torch.device("meta"):
        attention = MultiHeadAttention(D, HEADS, score=score, normalizer=normalizer, dropout=0.1)
        source = torch.randn(BATCH, KEYS, D)
        mask = padding_mask(torch.ones(BATCH, dtype=torch.int64), KEYS)[:, None, None]
        context, _ = attention(
            torch.randn(BATCH, QUERIES, D), attention.memory(source, source, mask), causal=True,
            need_weights=need_weights,
        )  # fmt: skip
    context.sum().backward()
    assert all(p.grad is not None for p in attention.parameters())


@pytest.mark.parametrize(
    ("score", "left_out"), [(Location, {"key"}), (Synthesizer, {"key"}), (Uniform, {"query", "key"}), (Dot, set())]
)
def test_projections_that_a_score_never_looks_at_are_not_there_and_those_of_earlier_versions_are_passed_over(
    score: type[Score], left_out: set[str]
) -> None:
    attention = nn.ModuleDict({"layer": MultiHeadAttention(D, HEADS, score=score)})
    state = attention.state_dict()
    assert {name for name in ("query", "key") if f"layer.{name}.weight" not in state} == left_out
    for name in left_out:
        state |= {f"layer.{name}.weight": torch.zeros(D, D), f"layer.{name}.bias": torch.zeros(D)}
    attention.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"layer\.other"):
        attention.load_state_dict(state | {"layer.other.weight": torch.zeros(D)})


def test_heads_that_do_not_divide_the_size_are_a_user_error() -> None:
    with pytest.raises(UserError, match=r"d_model=15 is not a multiple of num_heads=2"):
        MultiHeadAttention(15, 2)


@pytest.mark.parametrize("normalizer", [Softmax, Differential])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("num_key_heads", [1, 2, 3, 6])
def test_query_heads_share_keys_and_values(
    num_key_heads: int, need_weights: bool, causal: bool, normalizer: type[Normalizer]
) -> None:
    """As with the keys and values of each key head written out for the query heads that share it."""
    d, heads = 24, 6
    shared = MultiHeadAttention(d, heads, num_key_heads=num_key_heads, normalizer=normalizer).double()
    full = MultiHeadAttention(d, heads, normalizer=normalizer).double()
    with torch.no_grad():
        for parameter in shared.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
        for ours, theirs in ((full.query, shared.query), (full.output, shared.output)):
            ours.load_state_dict(theirs.state_dict())
        full.attention.load_state_dict(shared.attention.state_dict())
        for ours, theirs, streams in ((full.key, shared.key, normalizer.streams), (full.value, shared.value, 1)):
            for name, parameter in ours.named_parameters():
                by_head = theirs.get_parameter(name).unflatten(0, (streams * num_key_heads, -1))
                parameter.copy_(by_head.repeat_interleave(heads // num_key_heads, 0).flatten(0, 1))
    x = torch.randn(BATCH, KEYS, d, dtype=torch.float64, requires_grad=True)
    mask = padding_mask(torch.tensor([KEYS, 3]), KEYS)[:, None, None]
    memory = shared.memory(x, x, mask)
    assert memory.value.shape == (BATCH, num_key_heads, KEYS, d // heads)
    assert memory.keys.numel() == memory.value.numel()
    actual, weights = shared(x, memory, causal=causal, need_weights=need_weights)
    expected, expected_weights = full(x, full.memory(x, x, mask), causal=causal, need_weights=need_weights)
    assert_close(actual, expected)
    assert_close(weights, expected_weights)
    assert_close(*(torch.autograd.grad(y.square().sum(), x, retain_graph=True) for y in (actual, expected)))


def test_cache_holds_the_key_heads_alone() -> None:
    attention = MultiHeadAttention(24, 6, num_key_heads=2)
    token = torch.randn(BATCH, 1, 24)
    cache = attention.nothing(token)
    assert [x.shape for x in cache] == [(BATCH, 2, 0, 4)] * 2
    memory = attention.extend(cache, token, None)
    assert [x.shape for x in memory[:2]] == [(BATCH, 2, 1, 4)] * 2


@pytest.mark.parametrize("number", [0, -1, 4, 12, 2.0, "many"])
def test_key_heads_that_cannot_be_shared_out_are_a_user_error(number: int) -> None:
    with pytest.raises(UserError, match=rf"num_key_heads={number}"):
        MultiHeadAttention(24, 6, num_key_heads=number)


@pytest.mark.parametrize("score", [General, Additive])
def test_scores_with_parameters_of_each_key_head_do_not_share_keys(score: type[Score]) -> None:
    with pytest.raises(UserError, match=rf"{score.__name__} has parameters.*leave num_key_heads out"):
        MultiHeadAttention(24, 6, score=score, num_key_heads=2)
    MultiHeadAttention(24, 6, score=score, num_key_heads=6)


@pytest.mark.parametrize("need_weights", [True, False])
def test_gate_weighs_the_context_of_each_head(need_weights: bool) -> None:
    gated = MultiHeadAttention(D, HEADS, gate=True).double()
    assert gated.gate is not None and gated.gate.weight.shape == (HEADS, D)
    x = torch.randn(BATCH, QUERIES, D, dtype=torch.float64)
    actual, _ = gated(x, gated.memory(x, x), need_weights=need_weights)
    gate, gated.gate = gated.gate, None
    parts = []
    for head in range(HEADS):
        columns = slice(head * D // HEADS, (head + 1) * D // HEADS)
        alone = copy.deepcopy(gated)
        with torch.no_grad():
            alone.output.bias.zero_()
            hidden = torch.ones(D, dtype=torch.bool)
            hidden[columns] = False
            alone.output.weight[:, hidden] = 0
        weight = torch.sigmoid(x @ gate.weight[head] + gate.bias[head])
        parts.append(alone(x, alone.memory(x, x))[0] * weight[..., None])
    assert_close(actual, sum(parts) + gated.output.bias)


@pytest.mark.parametrize("num_key_heads", [None, 1])
@pytest.mark.parametrize("positions", [NoPositions, RotaryPositions, AlibiPositions, T5Positions, ShawPositions])
def test_causal_attention_compiles_as_one_graph_for_all_sizes(
    positions: type[Positions], num_key_heads: int | None
) -> None:
    attention = MultiHeadAttention(
        24, 6, positions=positions(24, d_head=4, num_heads=6, two_sided=False), num_key_heads=num_key_heads
    )

    def attend(x: Tensor) -> Tensor:
        return attention(x, attention.memory(x, x), causal=True)[0]

    torch.compiler.reset()
    compiled = torch.compile(attend, fullgraph=True, backend="eager", dynamic=True)
    for batch, length in ((2, 7), (3, 11), (5, 4)):
        x = torch.randn(batch, length, 24, requires_grad=True)
        assert_close(compiled(x), attend(x))
        assert_close(*(torch.autograd.grad(y(x).sum(), x) for y in (compiled, attend)))
