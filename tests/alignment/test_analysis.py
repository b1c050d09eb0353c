"""Entropy, saturation and sink mass of weights."""

import math

import pytest
import torch

from seq2seq.alignment.analysis import is_sink, normalized_entropy, row_entropy, saturation, sink_labels, sink_mass

ONE_HOT = [0.0, 1.0, 0.0, 0.0, 0.0]
UNIFORM = [0.2] * 5


def test_entropy_is_zero_for_one_key_and_log_of_the_keys_for_all_alike() -> None:
    torch.testing.assert_close(row_entropy(torch.tensor([ONE_HOT])), torch.tensor(0.0))
    torch.testing.assert_close(row_entropy(torch.tensor([UNIFORM])), torch.tensor(math.log(5)))


def test_entropy_equals_the_distributions_own() -> None:
    weights = torch.rand(2, 3, 7, 5, dtype=torch.float64).softmax(-1)
    expected = torch.distributions.Categorical(probs=weights).entropy().mean(-1)
    torch.testing.assert_close(row_entropy(weights), expected)


def test_padded_rows_count_in_no_measure() -> None:
    rows = torch.tensor([ONE_HOT, UNIFORM, UNIFORM]).expand(2, 3, 3, 5)
    mask = torch.tensor([[True, True, False], [True, False, False]])[:, None]
    half = torch.tensor([math.log(5) / 2, 0.0])[:, None].expand(2, 3)
    torch.testing.assert_close(row_entropy(rows, mask), half)
    torch.testing.assert_close(normalized_entropy(rows, target_mask=mask), half / math.log(5))
    torch.testing.assert_close(saturation(rows, target_mask=mask), torch.tensor([[0.5] * 3, [1.0] * 3]))
    sinks = torch.tensor([False, False, False, True, True])
    torch.testing.assert_close(sink_mass(rows, sinks, mask), torch.tensor([[0.2] * 3, [0.0] * 3]))


def test_nan_in_a_padded_row_does_not_spread() -> None:
    weights = torch.tensor([ONE_HOT, [math.nan] * 5])
    assert row_entropy(weights, torch.tensor([True, False])) == 0


def test_normalized_entropy_is_one_for_uniform_weights_over_visible_keys() -> None:
    weights = torch.tensor([[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    visible = torch.tensor([[True, True, False], [True, True, True]])
    torch.testing.assert_close(normalized_entropy(weights, visible), torch.tensor(1.0))


def test_normalized_entropy_of_a_single_or_no_visible_key_is_zero() -> None:
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    visible = torch.tensor([[True, False], [False, False]])
    assert normalized_entropy(weights, visible) == 0


def test_saturation_is_the_share_of_rows_over_the_threshold() -> None:
    weights = torch.tensor([[0.99, 0.01], [0.98, 0.02], [0.0, 1.0], [0.5, 0.5]])
    assert saturation(weights) == 0.5
    assert saturation(weights, threshold=0.5) == 1


def test_sink_mass_adds_the_columns_of_sinks_per_sentence() -> None:
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]).expand(2, 2, 3)
    sinks = torch.tensor([[False, True, True], [True, False, False]])
    torch.testing.assert_close(sink_mass(weights, sinks), torch.tensor([0.8, 0.2]))


@pytest.mark.parametrize("label", ["<s>", "</s>", ".", "▁.", ",", "…", "--", "„", "«", "。", "！", "؟", "()"])
def test_ends_and_punctuation_are_sinks(label: str) -> None:
    assert is_sink(label)


@pytest.mark.parametrize("label", ["the", "▁the", "s", "3.5", "U.S.", "don't", "$", "+", "▁", "", "今日", "🙂"])
def test_words_numbers_and_symbols_are_not_sinks(label: str) -> None:
    assert not is_sink(label)


def test_mask_of_sinks_follows_the_labels() -> None:
    assert sink_labels(["the", "dog", ".", "</s>"]) == [False, False, True, True]
