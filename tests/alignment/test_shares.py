"""Shares: what rows that sum to less than one, to more, or hold weights below 0 give to each key, and to none."""

import pytest
import torch
from torch import Tensor

from seq2seq.alignment.maps import AttentionMap
from seq2seq.alignment.sentence import Sentence
from seq2seq.alignment.shares import is_seen, nowhere, nowhere_to_end, remark, shares
from seq2seq.alignment.words import (
    LinkExtraction,
    agreement,
    argmax_links,
    intersection_links,
    merge_pieces,
    mutual_links,
    threshold_links,
    word_shares,
)
from seq2seq.models.encoder_decoder import Site

ROWS = torch.tensor([[0.2, 0.3, 0.1], [0.9, 0.6, 0.5], [0.62, 0.12, -0.24], [0.0, 0.0, 0.0]])
"""Of a sink, a sigmoid, a difference, and a query that sees nothing."""

SOURCE = Sentence("dogs bark", [5, 6, 7], ["▁dog", "s", "▁bark"], ["dogs", "bark"], [0, 0, 1])
TARGET = Sentence("Hunde bellen", [8, 9], ["▁Hunde", "▁bellen"], ["Hunde", "bellen"], [0, 1])


def test_shares_and_what_goes_nowhere_equal_the_hand_computed() -> None:
    given = shares(ROWS)
    expected = torch.tensor([[0.2, 0.3, 0.1], [0.45, 0.3, 0.25], [0.62, 0.12, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(nowhere(given), torch.tensor([0.4, 0.0, 0.26, 1.0]))
    torch.testing.assert_close(shares(given), given, rtol=0, atol=1e-7)
    torch.testing.assert_close(nowhere_to_end(given).sum(-1), torch.ones(4))
    torch.testing.assert_close(nowhere_to_end(given)[:, :-1], expected[:, :-1])


@pytest.mark.parametrize("keys", [1, 2, 17, 300])
def test_rows_that_sum_to_one_are_the_same_to_the_bit_and_lose_nothing(keys: int) -> None:
    weights = torch.randn(2, 4, 50, keys).mul(5).softmax(-1)
    assert shares(weights).equal(weights)
    assert nowhere(weights).count_nonzero() == 0
    assert nowhere_to_end(shares(weights)).equal(weights)


def test_gradient_of_rows_that_sum_to_one_is_the_same_to_the_bit() -> None:
    scores = torch.randn(3, 5, requires_grad=True)
    wanted = torch.rand(3, 5)
    (plain,) = torch.autograd.grad((scores.softmax(-1).log() * wanted).sum(), scores)
    (shared,) = torch.autograd.grad((shares(scores.softmax(-1)).log() * wanted).sum(), scores)
    assert shared.equal(plain)


def test_remark_says_what_was_changed_and_nothing_else() -> None:
    assert remark(ROWS[:1]) == remark(torch.rand(4, 7).softmax(-1)) == ""
    assert remark(ROWS[:2]) == "rows sum to up to 2.00, scaled down to 1"
    assert remark(ROWS[2:]) == "weights below 0, down to -0.24, shown as 0"


def links_of(extract: LinkExtraction, weights: Tensor) -> list[list[bool]]:
    return extract(word_shares(weights, range(weights.shape[-2]), range(weights.shape[-1]))).tolist()


@pytest.mark.parametrize(
    "extract",
    [argmax_links, mutual_links, intersection_links, lambda weights: threshold_links(weights, threshold=0.3)],
)
def test_row_that_goes_nowhere_has_no_link_and_others_keep_theirs(extract: LinkExtraction) -> None:
    # The last row and column are the ends. The first word holds 5 % of its weight, which lie on one source word.
    sink = torch.tensor([[0.0, 0.05, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, 1.0]])
    assert links_of(extract, sink) == [[False, False], [True, False]]
    # The second has most of what is above 0 on the first source word, however far below 0 the rest lies.
    difference = torch.tensor([[0.0, 0.05, -0.2], [0.7, -0.9, -0.1], [0.0, 0.0, 0.9]])
    assert links_of(extract, difference) == [[False, False], [True, False]]


def test_threshold_is_of_a_row_that_is_scaled_down() -> None:
    sigmoid = torch.tensor([[0.9, 0.9, 0.9], [0.9, 0.1, 0.1], [0.5, 0.5, 0.5]])
    found = links_of(lambda weights: threshold_links(weights, threshold=0.5), sigmoid)
    assert found == [[False, False], [True, False]]


def test_agreement_counts_no_word_that_looks_nowhere() -> None:
    weights = torch.tensor([[0.03, 0.05, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, 1.0]])
    with_nowhere = agreement(word_shares(weights, range(3), range(3)))
    # The second row and the first column agree; the second column also asks for the second row, which has another.
    assert with_nowhere == pytest.approx(2 / 3)
    assert agreement(weights) != with_nowhere


def attention(weights: Tensor) -> AttentionMap:
    return AttentionMap("decoder.attention", Site("cross", 0), weights, TARGET.ending(), SOURCE.ending())


def test_view_has_shares_and_keeps_what_goes_nowhere_apart() -> None:
    weights = torch.rand(2, 3, 4).softmax(-1) * torch.tensor([0.5, 1.0])[:, None, None]
    for unit, labels in (("pieces", SOURCE.ending().pieces), ("words", ["dogs", "bark", "</s>"])):
        view = attention(weights).view(unit)
        assert view.key_labels == labels and view.weights.shape[-1] == len(labels)
        torch.testing.assert_close(view.nowhere, torch.tensor([[0.5] * 3, [0.0] * 3]))
        torch.testing.assert_close(view.of(None)[1], torch.full((3,), 0.25))
        assert view.of(1)[0].equal(view.weights[1])
        assert is_seen(view.of(0)[1]) and not is_seen(view.of(1)[1])


def test_mean_of_heads_is_of_their_shares_so_that_none_outweighs_the_others() -> None:
    weights = torch.stack((torch.eye(3, 4), 9 * torch.eye(3, 4).flip(0)))
    shown = attention(weights)
    torch.testing.assert_close(shown.view("pieces").of(None)[0], (torch.eye(3, 4) + torch.eye(3, 4).flip(0)) / 2)
    assert shown.remark(0) == "" and shown.remark(1) == shown.remark(None) == "rows sum to up to 9.00, scaled down to 1"
    assert shown.weights.equal(weights)


def test_rows_that_sum_to_one_give_the_view_they_always_gave() -> None:
    weights = torch.rand(2, 3, 4).softmax(-1)
    view = attention(weights).view("words")
    assert view.weights.equal(merge_pieces(weights, [0, 1, 2], [0, 0, 1, 2]))
    assert view.nowhere.count_nonzero() == 0


def test_word_without_pieces_is_a_row_of_zeros_and_gives_nothing_nowhere() -> None:
    target = Sentence("\u200b Hunde", [8, 9], ["▁Hun", "de"], ["\u200b", "Hunde"], [1, 1])
    weights = torch.rand(1, 3, 4).softmax(-1)
    view = AttentionMap("decoder.attention", Site("cross", 0), weights, target.ending(), SOURCE.ending()).view("words")
    assert view.weights[0, 0].count_nonzero() == 0 and view.nowhere.count_nonzero() == 0
