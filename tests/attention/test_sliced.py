"""Slices of windows and chunks against the explicit path, and when they are taken."""

from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import (
    Additive,
    Attention,
    Chunked,
    Dilated,
    Entmax15,
    Linear,
    MultiHeadAttention,
    Normalizer,
    Pattern,
    Performer,
    RotaryPositions,
    ScaledDot,
    Score,
    Softmax,
    Window,
    padding_mask,
    sliced,
)
from seq2seq.attention.normalizers import LogLength

PATTERNS: dict[str, Callable[..., Pattern]] = {
    "window": partial(Window, width=3),
    "window wider than a block": partial(Window, width=40),
    "dilated": partial(Dilated, width=2, dilation=3),
    "chunked": partial(Chunked, size=5),
    "chunks longer than a block": partial(Chunked, size=50),
}
PARTS: list[tuple[type[Score], type[Normalizer]]] = [
    (ScaledDot, Softmax),
    (ScaledDot, LogLength),
    (Additive, Entmax15),
    (Linear, Softmax),
    (Performer, Softmax),
]
LENGTHS = [(33, 33), (64, 64), (71, 40), (40, 97)]


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let slices be taken at any length; return how many there were, as they happen."""
    found: list[int] = []
    cut = sliced.cut

    def spy(query: Tensor, *args: object, **options: object) -> sliced.Slices:
        slices = cut(query, *args, **options)  # type: ignore[arg-type]
        found.append(slices.num_slices)
        return slices

    monkeypatch.setattr(sliced, "SAVED", -1000)
    monkeypatch.setattr("seq2seq.attention.attention.cut", spy)
    return found


@pytest.mark.parametrize("heads", [None, 3], ids=["3-D", "4-D"])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize(("score", "normalizer"), PARTS)
def test_slices_equal_the_explicit_path_in_context_and_gradients(
    score: type[Score],
    normalizer: type[Normalizer],
    pattern: Callable[..., Pattern],
    heads: int | None,
    cuts: list[int],
) -> None:
    made = Attention(score(5, 5, num_heads=heads), normalizer(num_heads=heads), pattern=pattern(5)).double()
    for (queries, keys), causal, padded in product(LENGTHS, (False, True), (False, True)):
        leading = (2,) if heads is None else (2, heads)
        query, key, value = (
            torch.randn(*leading, length, d, dtype=torch.float64, requires_grad=True)
            for length, d in ((queries, 5), (keys, 5), (keys, 4))
        )
        # The second sentence is so short that most of its queries see nothing.
        mask = padding_mask(torch.tensor([keys, 7]), keys)[:, None] if padded else None
        mask = mask[:, None] if mask is not None and heads else mask
        found = []
        for need_weights in (True, False):
            context, _ = made(query, made.memory(key, value, mask), causal=causal, need_weights=need_weights)
            upstream = torch.linspace(-1, 1, context.numel(), dtype=torch.float64).view(context.shape)
            found.append((context, *torch.autograd.grad(context, [query, key, value, *made.parameters()], upstream)))
        assert_close(found[1], found[0])
    assert len(cuts) == 4 * len(LENGTHS)


def test_heads_that_share_keys_and_masks_of_fewer_axes_are_cut_too(cuts: list[int]) -> None:
    made = MultiHeadAttention(8, 4, num_key_heads=2, pattern=partial(Window, width=2)).double()
    x = torch.randn(1, 70, 8, dtype=torch.float64)
    for mask in (torch.tensor(True), torch.arange(70) < 50, (torch.arange(70) < 50)[None]):
        memory = made.memory(x, x, mask)
        assert_close(made(x, memory, causal=True)[0], made(x, memory, causal=True, need_weights=True)[0])
    assert cuts == [3, 3, 3]


def test_turned_queries_are_cut_too(cuts: list[int]) -> None:
    made = MultiHeadAttention(8, 2, pattern=partial(Window, width=2), positions=RotaryPositions(8, d_head=4)).double()
    x = torch.randn(1, 70, 8, dtype=torch.float64)
    assert_close(made(x, made.memory(x, x))[0], made(x, made.memory(x, x), need_weights=True)[0])
    assert cuts == [3]


def test_slices_are_taken_from_a_length_on_and_never_where_a_query_has_a_mask_or_a_place_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = Window(4, width=16)  # blocks of 32 that see 64 keys
    made = Attention(ScaledDot(4, 4), pattern=window)
    long, short = 64 + sliced.SAVED, 63 + sliced.SAVED

    def worth(length: int, mask: Tensor | None = None, pattern: Pattern = window) -> bool:
        x = torch.randn(1, length, 4)
        return sliced.worth_slicing(pattern, x, made.memory(x, x, mask))

    assert worth(long) and worth(long, torch.ones(1, 1, long, dtype=torch.bool))
    assert not worth(short)
    assert not worth(long, torch.ones(1, long, long, dtype=torch.bool))
    x = torch.randn(1, long, 4)
    monkeypatch.setattr("seq2seq.attention.attention.cut", None)  # to call it is an error
    assert made(x, made.memory(x, x), places=torch.arange(long))[0].shape == x.shape


def test_cost_grows_with_the_length_and_not_its_square(cuts: list[int]) -> None:
    made = Attention(ScaledDot(4, 4), pattern=Window(4, width=8))
    numbers = []
    for length in (256, 512, 1024):
        x = torch.randn(1, 1, length, 4, device="meta", requires_grad=True)
        slices = sliced.cut(x, made.memory(x, x), Window(4, width=8), causal=False)
        numbers.append(slices.query.shape[0] * slices.query.shape[-2] * slices.memory.keys.shape[-2])
    assert numbers == [256 * 48, 512 * 48, 1024 * 48]
