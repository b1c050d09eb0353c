"""Patterns: masks small enough to write down, values computed by hand, and rows that see nothing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import (
    Attention,
    BigBird,
    Chunked,
    Dilated,
    Dot,
    Fixed,
    LocalM,
    LocalP,
    Monotonic,
    MultiHeadAttention,
    Pattern,
    Positions,
    Uniform,
    Window,
    padding_mask,
)
from seq2seq.errors import UserError

LOOKS = ("current", "previous", "next", "left", "right", "end", "start")


def picture(pattern: Pattern, queries: int, keys: int) -> list[str]:
    """Return which keys are seen, a row of 0 and 1 a query."""
    mask = pattern(torch.zeros(queries, 1), torch.arange(queries), keys, None).mask
    assert mask is not None and mask.dtype is torch.bool
    return ["".join(map(str, row)) for row in mask.int().tolist()]


MASKS: dict[str, tuple[Pattern, int, int, list[str]]] = {
    "window": (Window(1, width=1), 5, 5, ["11000", "11100", "01110", "00111", "00011"]),
    "window of itself": (Window(1, width=0), 3, 3, ["100", "010", "001"]),
    "local-m": (LocalM(1, width=2), 4, 6, ["111000", "111100", "111110", "011111"]),
    "local-m beyond the sentence": (LocalM(1, width=1), 5, 3, ["110", "111", "011", "001", "000"]),
    "dilated": (Dilated(1, width=1, dilation=2), 5, 5, ["10100", "01010", "10101", "01010", "00101"]),
    "dilated, wider": (Dilated(1, width=2, dilation=3), 1, 8, ["10010010"]),
    "chunked": (Chunked(1, size=2), 5, 5, ["11000", "11000", "00110", "00110", "00001"]),
    "global and window": (
        BigBird(1, width=1, num_global=1, num_random=0), 5, 5, ["11111", "11100", "11110", "10111", "10011"]
    ),
    "two global": (BigBird(1, width=0, num_global=2, num_random=0), 4, 4, ["1111", "1111", "1110", "1101"]),
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "queries", "keys", "seen"), MASKS.values(), ids=MASKS)
def test_who_sees_whom(pattern: Pattern, queries: int, keys: int, seen: list[str]) -> None:
    assert picture(pattern, queries, keys) == seen


def test_beams_stand_at_one_place() -> None:
    seen = Window(1, width=1)(torch.zeros(3, 1), torch.full((3,), 5), 8, None).mask
    assert seen is not None and seen.int().tolist() == [[0, 0, 0, 0, 1, 1, 1, 0]] * 3


def test_what_is_hidden_already_stays_hidden() -> None:
    seen = Window(1, width=1)(torch.zeros(1, 3, 1), torch.arange(3), 3, torch.tensor([[[True, True, False]]])).mask
    assert seen is not None and seen.int().tolist() == [[[1, 1, 0], [1, 1, 0], [0, 1, 0]]]


def by_chance(length: int, **options: int) -> Tensor:
    pattern = BigBird(1, **{"width": 0, "num_global": 0, "num_random": 3, **options})
    mask = pattern(torch.zeros(length, 1), torch.arange(length), length, None).mask
    assert mask is not None
    return mask


def test_random_keys_are_the_same_in_a_longer_sentence_and_others_for_another_seed() -> None:
    assert torch.equal(by_chance(90)[:40, :40], by_chance(40))
    assert not torch.equal(by_chance(40, seed=1), by_chance(40))


def test_a_causal_query_sees_about_as_many_random_keys_as_it_is_told_however_late_it_stands() -> None:
    before = by_chance(600).tril(-1).sum(-1).float()
    for part in before[60:].split(180):
        assert_close(part.mean(), torch.tensor(3.0), atol=0.4, rtol=0)
    assert before.std() > 1  # by chance, and not three always


def weights_of(attention: Attention, query: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
    weights = attention(query, attention.memory(keys, keys, mask), need_weights=True)[1]
    assert weights is not None
    return weights


def guessing(share: list[float], *, width: int) -> Attention:
    """Return attention whose heads guess a place at these shares of the sentence, for queries of one number, 1."""
    pattern = LocalP(1, num_heads=len(share), width=width)
    with torch.no_grad():
        pattern.weight.fill_(20.0)  # its tanh is 1
        pattern.direction.copy_(torch.tensor(share)[:, None, None].logit())
    return Attention(Dot(1, 1), pattern=pattern)


HAND = [0.0, 0.081163, 0.220624, 0.220624, 0.081163, 0.0]


def test_local_p_by_hand() -> None:
    weights = weights_of(guessing([2.5 / 6], width=2), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 6, 1))
    assert_close(weights.flatten(), torch.tensor(HAND), atol=1e-6, rtol=0)
    assert_close(weights.sum(), torch.tensor(0.603575), atol=1e-6, rtol=0)


def test_local_p_counts_the_keys_that_are_real_and_each_head_guesses_for_itself() -> None:
    attention = guessing([2.5 / 6, 0.5], width=2)
    keys, mask = torch.zeros(2, 2, 9, 1), padding_mask(torch.tensor([6, 4]), 9)[:, None, None]
    weights = weights_of(attention, torch.ones(2, 2, 1, 1), keys, mask)[:, :, 0]
    assert_close(weights[0, 0], torch.tensor([*HAND, 0, 0, 0]), atol=1e-6, rtol=0)
    # The second head guesses 3 of 6, and 2 of 4: places 0 to 4 are seen there, of which 4 is padding.
    factors = torch.tensor([0.135335, 0.606531, 1, 0.606531])
    assert_close(weights[1, 1], torch.cat((factors / 4, torch.zeros(5))), atol=1e-6, rtol=0)
    assert (attention.row_sum, attention.moves) == ("at most one", True)


def test_local_p_is_learned() -> None:
    attention = Attention(Dot(3, 3), pattern=LocalP(3, width=2))
    x = torch.randn(2, 5, 3)
    attention(x, attention.memory(x, x))[0].sum().backward()
    assert all(p.grad is not None and p.grad.count_nonzero() for p in attention.parameters())


def test_large_seeds_and_numbers_of_bigbird_fit_into_whole_numbers() -> None:
    places = torch.arange(50)
    few = BigBird(1, width=0, num_global=0, seed=10**30).visible(places[:, None], places)
    assert 50 < few.sum() < 400
    assert BigBird(1, num_random=10**30).visible(places[:, None], places).all()


@pytest.mark.parametrize("heads", [None, 7])
def test_fixed_weights_by_hand(heads: int | None) -> None:
    attention = Attention(Uniform(2, 2, num_heads=heads), pattern=Fixed(2, num_heads=heads, heads=LOOKS))
    x = torch.randn(*(1,) if heads is None else (1, heads), 6, 2)
    mask = padding_mask(torch.tensor([5]), 6)[:, None] if heads is None else padding_mask(torch.tensor([5]), 6)
    weights = weights_of(attention, x, x, mask)
    if heads is None:
        assert_close(weights[0], torch.eye(6).masked_fill(torch.eye(6).bool() & ~mask[0], 0))
        return
    rows = dict(zip(LOOKS, weights[0, :, 3], strict=True))
    expected: dict[str, list[float]] = {
        "current": [0, 0, 0, 1, 0, 0],
        "previous": [0, 0, 1, 0, 0, 0],
        "next": [0, 0, 0, 0, 1, 0],
        "left": [1 / 9, 8 / 9, 0, 0, 0, 0],
        "right": [0, 0, 0, 0, 0, 0],
        "end": [1 / 225, 8 / 225, 27 / 225, 64 / 225, 125 / 225, 0],
        "start": [125 / 225, 64 / 225, 27 / 225, 8 / 225, 1 / 225, 0],
    }
    for name, row in rows.items():
        assert_close(row, torch.tensor(expected[name], dtype=torch.float32), msg=name)
    assert_close(weights[0, 4, 1], torch.tensor([0, 0, 0, 8 / 9, 1 / 9, 0]))


def test_more_heads_than_looks_begin_again() -> None:
    attention = Attention(Uniform(2, 2, num_heads=3), pattern=Fixed(2, num_heads=3, heads=("current", "previous")))
    x = torch.randn(1, 3, 4, 2)
    weights = weights_of(attention, x, x)[0]
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize("need_weights", [True, False])
def test_padded_query_whose_window_holds_padding_alone_gives_zero_and_finite_gradients(need_weights: bool) -> None:
    attention = MultiHeadAttention(6, 2, pattern=partial(Window, width=1))
    x = torch.randn(2, 9, 6, requires_grad=True)
    mask = padding_mask(torch.tensor([9, 4]), 9)[:, None, None]
    context, weights = attention(x, attention.memory(x, x, mask), need_weights=need_weights)
    assert_close(context[1, 5:], attention.output.bias.expand(4, 6))
    assert weights is None or weights[1, :, 5:].count_nonzero() == 0
    context.square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    "pattern", [LocalM(3, width=1), LocalP(3, width=1), Fixed(3, heads=["next"])], ids=["local-m", "local-p", "fixed"]
)
def test_query_far_beyond_the_source_gives_finite_numbers(pattern: Pattern, need_weights: bool) -> None:
    score = Uniform(3, 3) if pattern.decides else Dot(3, 3)
    attention = Attention(score, pattern=pattern)
    query, key = (torch.randn(2, n, 3, requires_grad=True) for n in (8, 4))
    mask = padding_mask(torch.tensor([4, 0]), 4)[:, None]
    context, _ = attention(query, attention.memory(key, key, mask), need_weights=need_weights)
    assert context[1].count_nonzero() == 0
    if not isinstance(pattern, LocalP):
        assert context[0, 5:].count_nonzero() == 0
    context.square().sum().backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in (query, key))


WRONG: dict[str, tuple[Callable[..., Pattern], dict[str, Any], str]] = {
    "window": (Window, {"width": -1}, "pattern.width=-1: expected a whole number of 0 or more"),
    "fraction": (Window, {"width": 1.5, "seat": "encoder"}, "encoder.pattern.width=1.5: expected a whole number"),
    "local-p": (LocalP, {"width": 0, "seat": "cross"}, "cross_pattern.width=0: expected a whole number of 1 or more"),
    "dilation": (Dilated, {"dilation": 0}, "pattern.dilation=0: expected a whole number of 1 or more"),
    "size": (Chunked, {"size": 0}, "pattern.size=0: expected"),
    "global": (BigBird, {"num_global": -1}, "pattern.num_global=-1: expected"),
    "random": (BigBird, {"num_random": None}, "pattern.num_random=None: expected"),
    "no look": (Fixed, {"heads": []}, "pattern.heads=[]: expected a list of some of current, previous, next, left"),
    "other look": (Fixed, {"heads": ["both"]}, "pattern.heads=['both']: expected"),
    "a word": (Fixed, {"heads": "current"}, "pattern.heads=current: expected a list"),
    "a number": (Fixed, {"heads": 3}, "pattern.heads=3: expected a list"),
    "later": (
        Fixed,
        {"heads": ["current", "next"], "seat": "decoder"},
        "decoder.pattern.heads=['current', 'next']: expected a list of some of current, previous, left",
    ),
    "guess in self-attention": (LocalP, {"seat": "encoder"}, "encoder.pattern: LocalP has no meaning there; use full"),
    "blocks in cross-attention": (Chunked, {"seat": "cross"}, "cross_pattern: Chunked has no meaning there; use full"),
}


@pytest.mark.parametrize(("pattern", "options", "said"), WRONG.values(), ids=WRONG)
def test_option_or_seat_without_meaning_is_a_user_error(
    pattern: Callable[..., Pattern], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as error:
        pattern(4, **options)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_fixed_weights_want_equal_scores() -> None:
    with pytest.raises(UserError, match=r"Dot would not be heard; use encoder\.self_score=uniform with it"):
        Attention(Dot(3, 3), pattern=Fixed(3, heads=LOOKS, seat="encoder"))

    with pytest.raises(UserError, match="cross_pattern: Fixed gives weights .* Monotonic would move them; use another"):
        Attention(Uniform(3, 3), Monotonic(), pattern=Fixed(3, heads=LOOKS, seat="cross"))

    class Biased(Positions):
        biases = True

    with pytest.raises(UserError, match="Biased joins the scores, which must be equal under Fixed; use"):
        MultiHeadAttention(4, 2, score=Uniform, pattern=partial(Fixed, heads=LOOKS), positions=Biased(4))
