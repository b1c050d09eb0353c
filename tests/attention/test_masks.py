"""Masks: True = visible."""

import torch

from seq2seq.attention import causal_mask, combine_masks, padding_mask

CPU = torch.device("cpu")


def test_causal_query_sees_itself_and_earlier_keys() -> None:
    visible = causal_mask(4, 4, device=CPU)
    assert visible.dtype is torch.bool
    assert visible.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert visible[2].nonzero().flatten().tolist() == [0, 1, 2]


def test_causal_mask_of_unequal_lengths_aligns_at_the_top_left() -> None:
    assert causal_mask(2, 5, device=CPU).int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert causal_mask(3, 2, device=CPU).int().tolist() == [[1, 0], [1, 1], [1, 1]]


def test_padding_mask_shows_as_many_positions_as_the_length() -> None:
    assert padding_mask(torch.tensor([3, 0, 5]), 5).int().tolist() == [[1, 1, 1, 0, 0], [0] * 5, [1] * 5]


def test_combined_masks_show_what_all_show() -> None:
    padding = padding_mask(torch.tensor([2, 3]), 3)[:, None]
    combined = combine_masks(None, padding, causal_mask(3, 3, device=CPU), None)
    assert combined is not None
    assert combined.int().tolist() == [[[1, 0, 0], [1, 1, 0], [1, 1, 0]], [[1, 0, 0], [1, 1, 0], [1, 1, 1]]]


def test_no_mask_stays_no_mask() -> None:
    assert combine_masks(None, None) is None
