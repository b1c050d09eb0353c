"""Positions against values computed by hand, and what is special to each. What all share is in tests/models."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import (
    AlibiPositions,
    Attention,
    Dot,
    General,
    LearnedPositions,
    MultiHeadAttention,
    Positions,
    RandomPositions,
    RotaryPositions,
    ScaledDot,
    ShawPositions,
    SinusoidalPositions,
    T5Positions,
    padding_mask,
)
from seq2seq.attention.positions import waves
from seq2seq.errors import UserError

BATCH, LENGTH, D, HEADS = 2, 11, 12, 2
RELATIVE = [
    RotaryPositions,
    AlibiPositions,
    partial(T5Positions, num_buckets=8, max_distance=6),
    partial(ShawPositions, max_distance=3),
]
relative = pytest.mark.parametrize("kind", RELATIVE, ids=["rotary", "alibi", "t5", "shaw"])


def values(*expected: float) -> Tensor:
    return torch.tensor(expected, dtype=torch.float64)


def close(actual: Tensor, *expected: float) -> None:
    assert_close(actual.double().flatten(), values(*expected), atol=1e-6, rtol=0)


def attend(
    kind: Callable[..., Positions], *, two_sided: bool = True, num_key_heads: int | None = None
) -> MultiHeadAttention:
    positions = kind(D, d_head=D // HEADS, num_heads=HEADS, two_sided=two_sided)
    attention = MultiHeadAttention(D, HEADS, positions=positions, num_key_heads=num_key_heads).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
    return attention


def test_rotary_turns_neighbours() -> None:
    positions, x = RotaryPositions(4), values(1, 2, 3, 4)
    close(positions.turn(x[None], torch.tensor([3]))[0], -1.272233, -1.838865, 2.878668, 4.088187)
    close(positions.turn(x[None], torch.tensor([0]))[0], 1, 2, 3, 4)
    key = values(0.5, -1, 2, 1)
    for query_place, key_place, product in ((3, 1, 8.703632), (10, 8, 8.703632), (5, 5, 8.5)):
        query_turned = positions.turn(x[None], torch.tensor([query_place]))[0]
        close(query_turned @ positions.turn(key[None], torch.tensor([key_place]))[0], product)


def test_rotary_base_says_how_slowly_the_last_pair_turns() -> None:
    x = values(0, 0, 1, 0)[None]
    angle = torch.tensor(7 / 100.0**0.5, dtype=torch.float64)
    turned = RotaryPositions(4, base=100.0).turn(x, torch.tensor([7]))[0]
    close(turned, 0, 0, angle.cos().item(), angle.sin().item())


def test_rotary_knows_places_that_half_precision_would_confuse() -> None:
    x = torch.ones(1, 4, dtype=torch.bfloat16)
    one, other = (RotaryPositions(4).turn(x, torch.tensor([place])) for place in (256, 257))
    assert one.dtype is torch.bfloat16 and not torch.isclose(one, other, atol=0.1).all()


def test_rotary_takes_the_size_of_what_it_turns() -> None:
    """Heads may be split further: each part is turned as a head of its size."""
    x = torch.randn(2, 3, 5, 6)
    assert_close(RotaryPositions(24, d_head=12).turn(x, torch.arange(5)), RotaryPositions(6).turn(x, torch.arange(5)))


@pytest.mark.parametrize("heads, exponents", [
    (8, [1, 2, 3, 4, 5, 6, 7, 8]), (4, [2, 4, 6, 8]), (6, [2, 4, 6, 8, 1, 3]), (1, [8]), (3, [4, 8, 2]),
])  # fmt: skip
def test_alibi_slopes(heads: int, exponents: list[float]) -> None:
    assert AlibiPositions(24, num_heads=heads).slopes.tolist() == [2.0**-x for x in exponents]


@pytest.mark.parametrize("need_weights", [True, False])
def test_alibi_lowers_what_is_far(need_weights: bool) -> None:
    """The first of four heads has slope 1/4; values that are unit vectors show the weights."""
    attention, positions = Attention(Dot(4, 4)), AlibiPositions(16, d_head=4, num_heads=4)
    x, value = torch.zeros(1, 4, 4, 4), torch.eye(4).expand(1, 4, 4, 4)
    bias = positions.bias(x, torch.arange(4), 4)
    memory = attention.memory(x, value)
    causal, _ = attention(x, memory, bias=bias, causal=True, need_weights=need_weights)
    close(causal[0, 0, 3], 0.165296, 0.212244, 0.272527, 0.349932)
    both, _ = attention(x, memory, bias=bias, need_weights=need_weights)
    close(both[0, 0, 1], 0.246134, 0.316042, 0.246134, 0.191689)


@pytest.mark.parametrize("two_sided, expected", [
    (True, [15, 15, 14, 10, 10, 8, 8, 3, 1, 0, 17, 19, 24, 24, 26, 26, 30, 31, 31]),
    (False, [31, 31, 26, 17, 16, 9, 8, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
])  # fmt: skip
def test_t5_buckets(two_sided: bool, expected: list[int]) -> None:
    distances = torch.tensor([-200, -128, -64, -20, -16, -9, -8, -3, -1, 0, 1, 3, 8, 9, 16, 20, 64, 128, 200])
    positions = T5Positions(12, num_heads=2, two_sided=two_sided, num_buckets=32, max_distance=128)
    assert positions.buckets(distances).tolist() == expected


def test_t5_borders_of_a_far_largest_distance_are_found_at_once() -> None:
    positions = T5Positions(12, num_buckets=8, max_distance=10**12)
    assert positions.borders.tolist() == [1, 2, 1414214]  # sqrt(2 · 10^12) = 1414213.6


@pytest.mark.parametrize("two_sided", [True, False])
def test_t5_tells_all_distances_below_its_largest_apart_as_configured(two_sided: bool) -> None:
    positions = T5Positions(12, num_heads=2, two_sided=two_sided)
    found = positions.buckets(torch.arange(-25, 26))
    assert found[10:26].flip(0).tolist() == list(range(16))
    assert set(found[:10].tolist()) == {15 if two_sided else 31}
    assert set(found[41:].tolist()) == {31 if two_sided else 0}


def test_t5_bias_is_the_table_at_the_buckets() -> None:
    positions = T5Positions(12, num_heads=3, num_buckets=8, max_distance=6)
    bias = positions.bias(torch.empty(1, 1, 2, 0), torch.tensor([0, 4]), 7)
    assert bias.shape == (3, 2, 7) and bias.dtype is torch.float32
    for row, place in enumerate((0, 4)):
        for key in range(7):
            bucket = positions.buckets(torch.tensor([key - place]))
            assert_close(bias[:, row, key], positions.weight[bucket[0]])


@pytest.mark.parametrize("need_weights", [True, False])
def test_shaw_adds_a_vector_of_the_distance_to_the_key(need_weights: bool) -> None:
    attention, positions = Attention(ScaledDot(2, 2)), ShawPositions(2, d_head=2, max_distance=1)
    with torch.no_grad():
        positions.weight.copy_(torch.tensor([[0.5, 0], [0, 0.5], [-0.5, 0.5]]))
    query, keys = torch.tensor([[[[1.0, 2]]]]), torch.tensor([[[[1.0, 0], [0, 1], [1, 1]]]])
    bias = positions.bias(query, torch.tensor([1]), 3)
    close((attention.score(query, keys) + bias)[0, 0, 0], 1.060660, 2.121320, 2.474874)
    memory = attention.memory(keys, torch.eye(3)[None, None])
    context, _ = attention(query, memory, bias=bias, need_weights=need_weights)
    close(context[0, 0, 0], 0.124976, 0.360966, 0.514058)


def test_shaw_cuts_distances_and_streams_of_a_head_share_its_vectors() -> None:
    positions = ShawPositions(24, d_head=12, num_heads=2, max_distance=2)
    query = torch.randn(3, 4, 5, 6)  # two streams of two heads
    bias = positions.bias(query, torch.arange(5), 7)
    for head, halves in ((0, slice(0, 6)), (1, slice(0, 6)), (2, slice(6, 12)), (3, slice(6, 12))):
        for i in range(5):
            for j in range(7):
                vector = positions.weight[max(-2, min(2, j - i)) + 2, halves]
                assert_close(bias[:, head, i, j], query[:, head, i] @ vector / 6**0.5)


@relative
@pytest.mark.parametrize("num_key_heads", [2, 1])
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "two-sided"])
def test_fused_and_explicit_attention_agree_in_outputs_and_gradients(
    kind: Callable[..., Positions], causal: bool, num_key_heads: int
) -> None:
    attention = attend(kind, two_sided=not causal, num_key_heads=num_key_heads)
    x = torch.randn(BATCH, LENGTH, D, dtype=torch.float64, requires_grad=True)
    mask = padding_mask(torch.tensor([LENGTH, 4]), LENGTH)[:, None, None]
    found = []
    for need_weights in (True, False):
        context, _ = attention(x, attention.memory(x, x, mask), causal=causal, need_weights=need_weights)
        found.append((context, *torch.autograd.grad(context.square().sum(), [x, *attention.parameters()])))
    for explicit, fused in zip(*found, strict=True):
        assert explicit.count_nonzero()
        assert_close(fused, explicit)


@relative
def test_only_distances_count(kind: Callable[..., Positions]) -> None:
    """Sentences moved along by padding before them, which is hidden, come out as they were."""
    attention = attend(kind)
    x = torch.randn(BATCH, LENGTH, D, dtype=torch.float64)
    moved = torch.cat((torch.randn(BATCH, 5, D, dtype=torch.float64), x), dim=1)
    context, _ = attention(x, attention.memory(x, x))
    later, _ = attention(moved, attention.memory(moved, moved, torch.arange(LENGTH + 5) >= 5))
    assert_close(later[:, 5:], context)
    shuffled = x.flip(1)
    backwards, _ = attention(shuffled, attention.memory(shuffled, shuffled))
    assert kind is AlibiPositions or not torch.isclose(backwards.flip(1), context).all(-1).any()


@relative
def test_queries_at_one_place_are_beams_there(kind: Callable[..., Positions]) -> None:
    attention = attend(kind, two_sided=False)
    x = torch.randn(BATCH, LENGTH, D, dtype=torch.float64)
    memory = attention.memory(x, x)
    whole, _ = attention(x, memory, causal=True)
    for place in (0, 4, LENGTH - 1):
        seen = attention.memory(x[:, : place + 1], x[:, : place + 1])
        beams = x[:, place : place + 1].expand(-1, 3, -1)
        context, _ = attention(beams, seen, places=torch.full((3,), place))
        assert_close(context, whole[:, place : place + 1].expand(-1, 3, -1))


def test_random_places_are_a_sorted_sample_by_the_length_of_each_sentence() -> None:
    positions = RandomPositions(12, max_positions=13)
    lengths = torch.tensor([11, 3, 1])
    counts = torch.zeros(3, 13)
    for _ in range(300):
        sample = positions._sample(torch.arange(11), lengths)
        for row, n in enumerate(lengths.tolist()):
            chosen = sample[row, :n]
            assert (chosen.diff() > 0).all() and chosen[0] >= 0 and chosen[-1] < 13
            counts[row, chosen] += 1
    assert_close(counts / (300 * lengths[:, None] / 13), torch.ones(3, 13), atol=0.7, rtol=0)


def test_random_places_are_in_their_mean_after_training() -> None:
    positions = RandomPositions(12, max_positions=99).eval()
    x = torch.zeros(2, 4, 12)
    embedded = positions.embed(x, torch.arange(4), torch.tensor([4, 1]))
    sinusoidal = SinusoidalPositions(12)
    assert_close(embedded[0], sinusoidal.embed(x, torch.tensor([19, 39, 59, 79]))[0])
    assert_close(embedded[1, 0], sinusoidal.embed(x, torch.tensor([49]).expand(4))[0, 0])
    assert_close(positions.embed(x, torch.arange(4)), embedded[:1].expand(2, -1, -1))  # lengths that nobody gave


def test_random_places_change_in_training_alone() -> None:
    positions, x = RandomPositions(12), torch.zeros(2, 4, 12)
    calls = [positions.embed(x, torch.arange(4), torch.tensor([4, 2])) for _ in range(2)]
    assert not torch.equal(*calls)
    positions.eval()
    assert_close(*(positions.embed(x, torch.arange(4), torch.tensor([4, 2])) for _ in range(2)))


@pytest.mark.parametrize("make, message", [
    (partial(RotaryPositions, 14, d_head=7), r"pairs of numbers, and a head has 7; choose d_model and num_heads"),
    (partial(RotaryPositions, 14, base=0), r"base=0 .*such as 10000"),
    (partial(T5Positions, 14, num_buckets=7), r"num_buckets=7: set an even number"),
    (partial(T5Positions, 14, num_buckets=0), r"num_buckets=0: set an even number, 4 or more"),
    (partial(T5Positions, 14, max_distance=7), r"max_distance=7: 8 distances .*set max_distance to 8 or more"),
    (partial(T5Positions, 14, two_sided=False, max_distance=15), r"set max_distance to 16 or more"),
    (partial(ShawPositions, 14, max_distance=0), r"cannot have max_distance=0; set max_distance to 1 or more"),
    (partial(LearnedPositions, 14, max_positions=0), r"cannot have max_positions=0; set max_positions to 1 or more"),
    (partial(ShawPositions, 14, max_distance=2.5), r"cannot have max_distance=2.5"),  # type: ignore[arg-type]
    (partial(RandomPositions, 14, max_positions=-1), r"cannot have max_positions=-1; set max_positions to 1 or more"),
    (partial(RandomPositions, 14, two_sided=False), r"a decoder does not know; use encoder.positions=random"),
    (partial(RandomPositions, 7), r"even d_model, not 7"),
])  # fmt: skip
def test_what_makes_no_positions_is_a_user_error(make: Callable[[], Positions], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_positions_that_an_attention_cannot_follow_are_a_user_error() -> None:
    with pytest.raises(UserError, match="RotaryPositions turns queries and keys.*General"):
        MultiHeadAttention(D, HEADS, score=General, positions=RotaryPositions(D))
    with pytest.raises(UserError, match="a head has 3"):
        MultiHeadAttention(6, 2, positions=RotaryPositions(6))


def test_exported_waves_have_sines_of_float32_and_are_right_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    places = torch.tensor([0, 1, 1000, 30_000])
    expected = waves(places, 8)
    seen, sine = [], Tensor.sin

    def watched(x: Tensor) -> Tensor:
        seen.append(x.dtype)
        return sine(x)

    monkeypatch.setattr("seq2seq.attention.positions.is_exporting", lambda: True)
    monkeypatch.setattr(Tensor, "sin", watched)
    torch.testing.assert_close(waves(places, 8), expected, rtol=0, atol=1e-6)
    assert seen == [torch.float32]
