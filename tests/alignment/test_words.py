"""Weights between words from weights between pieces, and the links they imply."""

from pathlib import Path

import pytest
import torch

from seq2seq.alignment.links import alignment_error_rate, read_links
from seq2seq.alignment.words import (
    LinkExtraction,
    agreement,
    argmax_links,
    balanced_links,
    diagonal_links,
    intersection_links,
    link_pairs,
    merge_pieces,
    mutual_links,
    threshold_links,
)

TOKENIZED = Path(__file__).parents[3] / "shared/data/multi30k/tokenized"


def test_merged_weights_equal_the_hand_computed() -> None:
    weights = torch.tensor(
        [
            [0.1, 0.2, 0.3, 0.4],
            [0.5, 0.1, 0.3, 0.1],
            [0.0, 0.0, 0.2, 0.8],
        ]
    )
    # Source pieces 0 and 1 are one word; target pieces 0 and 1 are one word; the end of each stays.
    expected = torch.tensor([[0.45, 0.3, 0.25], [0.0, 0.2, 0.8]])
    torch.testing.assert_close(merge_pieces(weights, [0, 0, 1], [0, 0, 1, 2]), expected)


def test_leading_axes_are_kept_and_rows_still_sum_to_one() -> None:
    source_words, target_words = [0, 1, 1, 1, 2, 2], [0, 0, 1, 2]
    weights = torch.rand(2, 3, 5, 7).softmax(-1)
    merged = merge_pieces(weights, [*target_words, 3], [*source_words, 3])
    assert merged.shape == (2, 3, 4, 4)
    torch.testing.assert_close(merged.sum(-1), torch.ones(2, 3, 4))
    # Independent of the indexing: mean over rows 0 and 1, sum over columns 1 to 3.
    torch.testing.assert_close(merged[:, :, 0, 1], weights[:, :, :2, 1:4].sum(-1).mean(-1))
    torch.testing.assert_close(merged[:, :, 3, 3], weights[:, :, 4, 6])


def test_one_piece_a_word_changes_nothing() -> None:
    weights = torch.rand(3, 6)
    torch.testing.assert_close(merge_pieces(weights, range(3), range(6)), weights)


def test_word_without_pieces_gets_zeros_and_shifts_nothing() -> None:
    weights = torch.rand(3, 4)
    merged = merge_pieces(weights, [0, 2, 3], [0, 2, 2, 3])
    assert merged.shape == (4, 4)
    assert merged[1].eq(0).all()
    assert merged[:, 1].eq(0).all()
    torch.testing.assert_close(merged[2, 2], weights[1, 1:3].sum())


def test_empty_sentences_keep_their_end() -> None:
    torch.testing.assert_close(merge_pieces(torch.tensor([[1.0]]), [0], [0]), torch.tensor([[1.0]]))


def test_merging_is_differentiable_and_keeps_the_dtype() -> None:
    weights = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    merged = merge_pieces(weights, [0, 0, 1], [0, 0, 1, 2])
    assert merged.dtype == torch.float64
    assert torch.autograd.gradcheck(lambda w: merge_pieces(w, [0, 0, 1], [0, 0, 1, 2]), weights)


def test_weights_of_the_wrong_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(2, 4\)"):
        merge_pieces(torch.rand(3, 4), [0, 1], [0, 1, 2, 3])


def test_each_target_word_links_to_its_heaviest_source_word() -> None:
    weights = torch.tensor(
        [
            [0.2, 0.7, 0.1],
            [0.5, 0.4, 0.1],
            [0.1, 0.3, 0.6],  # rests on the end of the sentence: no link
            [0.9, 0.0, 0.1],  # the end of the target is no word
        ]
    )
    assert link_pairs(argmax_links(weights)) == {(1, 0), (0, 1)}


def test_target_word_without_weights_has_no_link() -> None:
    assert link_pairs(argmax_links(torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))) == {(1, 1)}


def test_empty_sentences_have_no_links() -> None:
    assert link_pairs(argmax_links(torch.tensor([[1.0]]))) == set()
    assert diagonal_links(0, 3) == diagonal_links(3, 0) == set()


def test_diagonal_of_equal_lengths_is_the_identity() -> None:
    assert diagonal_links(5, 5) == {(i, i) for i in range(5)}


def test_diagonal_of_unequal_lengths_links_every_target_word_evenly() -> None:
    assert diagonal_links(3, 6) == {(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)}
    assert diagonal_links(6, 2) == {(1, 0), (4, 1)}


@pytest.mark.skipif(not TOKENIZED.exists(), reason="../shared/data/multi30k is absent")
def test_diagonal_of_real_data_is_better_than_chance_and_far_from_gold() -> None:
    gold = read_links(str(TOKENIZED / "val.en-de.silver")).links
    source, target = ((TOKENIZED / f"val.{code}").read_text("utf-8").splitlines() for code in ("en", "de"))
    lengths = [(len(s.split()), len(t.split())) for s, t in zip(source, target, strict=True)]
    diagonal = alignment_error_rate(gold, [diagonal_links(*length) for length in lengths]).aer
    first = alignment_error_rate(gold, [{(0, j) for j in range(target)} for _, target in lengths]).aer
    assert 0.2 < diagonal < first - 0.2


def test_mutual_links_give_a_source_word_to_the_target_word_that_looks_at_it_hardest() -> None:
    # The full stop idles on the noun, as it needs not look at its own source word; the noun looks at the noun alone.
    weights = torch.tensor([[0.9, 0.08, 0.02], [0.7, 0.2, 0.1], [0.0, 0.1, 0.9]])
    assert link_pairs(argmax_links(weights)) == {(0, 0), (0, 1)}
    assert link_pairs(mutual_links(weights)) == {(0, 0), (1, 1)}


def test_mutual_links_keep_two_target_words_of_one_source_word() -> None:
    weights = torch.tensor([[0.9, 0.1, 0.0], [0.05, 0.95, 0.0], [0.9, 0.05, 0.05], [0.0, 0.0, 1.0]])
    assert link_pairs(mutual_links(weights)) == {(0, 0), (1, 1), (0, 2)}


def test_mutual_links_keep_the_parts_of_a_compound() -> None:
    weights = torch.tensor([[0.9, 0.1, 0.0, 0.0], [0.1, 0.5, 0.4, 0.0], [0.0, 0.0, 0.3, 0.7]])
    assert link_pairs(argmax_links(weights)) == {(0, 0), (1, 1)}
    assert link_pairs(mutual_links(weights)) == {(0, 0), (1, 1), (2, 1)}
    assert link_pairs(mutual_links(weights, threshold=0.6)) == {(0, 0)}


def test_mutual_links_leave_a_target_word_unlinked_whose_row_is_zero_or_that_looks_at_the_end() -> None:
    weights = torch.tensor([[0.8, 0.0, 0.2], [0.0, 0.0, 0.0], [0.0, 0.02, 0.98], [0.2, 0.5, 0.3]])
    assert link_pairs(mutual_links(weights)) == {(0, 0)}


def test_balanced_links_by_hand() -> None:
    # Squares [.64, .04, 0], [.36, .36, 0], no end: columns give [.64, .1], [.36, .9] and so do rows [.8649, .1351],
    # [.2857, .7143]; of columns then [.7517, .1591], [.2483, .8409], and of both [.8063, .1466], [.2663, .7750].
    weights = torch.tensor([[0.8, 0.2, 0.0], [0.6, 0.6, 0.0], [0.0, 0.0, 1.0]])
    assert link_pairs(balanced_links(weights)) == {(0, 0), (1, 1)}
    assert link_pairs(balanced_links(weights, threshold=0.26)) == {(0, 0), (1, 1), (0, 1)}
    assert link_pairs(balanced_links(weights, threshold=0.27)) == {(0, 0), (1, 1)}
    assert link_pairs(balanced_links(weights, threshold=0.8)) == {(0, 0)}


def test_balanced_links_leave_out_what_another_target_word_has_for_its_own() -> None:
    # The second target word has idle weight on the source word of the first: `mutual` links it there.
    weights = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]])
    assert link_pairs(mutual_links(weights)) == {(0, 0), (0, 1)}
    assert link_pairs(balanced_links(weights)) == {(0, 0)}


def test_balanced_links_keep_both_source_words_of_one_target_word() -> None:
    weights = torch.tensor([[0.65, 0.25, 0.1], [0.0, 0.1, 0.9], [0.0, 0.0, 1.0]])
    assert link_pairs(balanced_links(weights)) == {(0, 0), (1, 0)}


def test_threshold_links_every_source_word_with_enough_weight_but_not_the_end() -> None:
    weights = torch.tensor([[0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    assert link_pairs(threshold_links(weights, threshold=0.4)) == {(0, 0), (1, 0)}
    assert link_pairs(threshold_links(weights, threshold=0.15)) == {(0, 0), (1, 0), (1, 1)}


def test_intersection_keeps_what_both_words_find_heaviest() -> None:
    weights = torch.tensor(
        [
            [0.9, 0.1, 0.0, 0.0],
            [0.6, 0.3, 0.1, 0.0],  # its heaviest looks harder at the row above
            [0.0, 0.4, 0.5, 0.1],  # its heaviest belongs to the end of the target
            [0.0, 0.2, 0.8, 0.0],
        ]
    )
    assert link_pairs(argmax_links(weights)) == {(0, 0), (0, 1), (2, 2)}
    assert link_pairs(intersection_links(weights)) == {(0, 0)}


def test_agreement_is_dice_of_the_two_directions() -> None:
    # By rows (0, 0) and (0, 1); by columns source 0 finds target 0, and source 1 target 1: one of both, of two each.
    weights = torch.tensor([[0.9, 0.0, 0.1], [0.5, 0.4, 0.1], [0.0, 0.1, 0.9]])
    assert agreement(weights) == pytest.approx(0.5)
    assert agreement(torch.eye(3)) == 1
    assert agreement(torch.eye(4).flip(0)[None, :, :]).shape == (1,)


@pytest.mark.parametrize("extract", [argmax_links, mutual_links, intersection_links, balanced_links])
def test_many_heads_at_once_are_linked_as_each_alone(extract: LinkExtraction) -> None:
    weights = torch.rand(3, 5, 8, 11).softmax(-1)
    together = extract(weights)
    assert together.shape == (3, 5, 7, 10) and together.dtype == torch.bool
    for i in range(3):
        for j in range(5):
            assert together[i, j].equal(extract(weights[i, j]))
