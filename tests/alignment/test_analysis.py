"""What a head does, against figures computed by hand."""

import math

import pytest
import torch
from torch import Tensor

from seq2seq.alignment.analysis import HeadStatistics, head_statistics, is_sink

ONE_HOT = [0.0, 1.0, 0.0, 0.0, 0.0]
UNIFORM = [0.2] * 5
NO_SINK = torch.zeros(1, dtype=torch.bool)


def means(weights: Tensor, visible: Tensor | None = None, sinks: Tensor = NO_SINK) -> HeadStatistics:
    """Return the means over rows; without a mask every row sees every key."""
    visible = torch.ones_like(weights, dtype=torch.bool) if visible is None else visible
    sums, rows = head_statistics(weights, visible, sinks)
    return HeadStatistics(*(values / rows.clamp(min=1) for values in sums))


def test_entropy_is_zero_for_one_key_and_log_of_the_keys_for_all_alike() -> None:
    assert means(torch.tensor([ONE_HOT])).entropy == 0
    torch.testing.assert_close(means(torch.tensor([UNIFORM])).entropy, torch.tensor(math.log(5)))
    torch.testing.assert_close(means(torch.tensor([UNIFORM])).normalized_entropy, torch.tensor(1.0))


def test_entropy_equals_the_distributions_own() -> None:
    weights = torch.rand(2, 3, 7, 5, dtype=torch.float64).softmax(-1)
    expected = torch.distributions.Categorical(probs=weights).entropy().mean(-1)
    torch.testing.assert_close(means(weights).entropy, expected)


def test_padded_rows_count_in_no_statistic_even_when_they_are_no_numbers() -> None:
    rows = torch.tensor([ONE_HOT, UNIFORM, [math.nan] * 5]).expand(2, 3, 3, 5)
    real = torch.tensor([[True, True, False], [True, False, False]])
    visible = real[:, None, :, None] & torch.ones(5, dtype=torch.bool)
    sums, counts = head_statistics(rows, visible, torch.tensor([False, False, False, True, True]))
    assert counts.tolist() == [[2, 2, 2], [1, 1, 1]]
    torch.testing.assert_close(sums.entropy[:, 0], torch.tensor([math.log(5), 0.0]))
    torch.testing.assert_close(sums.saturation[:, 0], torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(sums.sink_mass[:, 0], torch.tensor([0.4, 0.0]))


def test_normalized_entropy_is_over_visible_keys_and_zero_where_one_or_none_is() -> None:
    weights = torch.tensor([[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    visible = torch.tensor([[True, True, False], [True, True, True]])
    torch.testing.assert_close(means(weights, visible).normalized_entropy, torch.tensor(1.0))
    lonely = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[True, False], [False, False]])
    assert means(*lonely).normalized_entropy == 0


def test_saturation_is_the_share_of_rows_over_the_threshold() -> None:
    assert means(torch.tensor([[0.99, 0.01], [0.98, 0.02], [0.0, 1.0], [0.5, 0.5]])).saturation == 0.5


def test_sink_mass_adds_the_columns_of_sinks_per_sentence() -> None:
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]).expand(2, 2, 3)
    sinks = torch.tensor([[False, True, True], [True, False, False]])
    torch.testing.assert_close(means(weights, sinks=sinks).sink_mass, torch.tensor([0.8, 0.2]))


def test_neighbours_of_the_diagonal_are_counted_in_self_attention() -> None:
    weights = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.2, 0.3], [0.1, 0.3, 0.6]])
    found = means(weights)
    assert found.diagonal == pytest.approx((0.7 + 0.2 + 0.6) / 3)
    assert found.previous == pytest.approx((0 + 0.5 + 0.3) / 3)
    assert found.next == pytest.approx((0.2 + 0.3 + 0) / 3)


def test_causal_diagonal_is_the_token_itself_whatever_the_padding() -> None:
    visible = torch.ones(4, 4, dtype=torch.bool).tril()
    visible[3] = False  # padding
    weights = torch.tensor([[1.0, 0, 0, 0], [0.3, 0.7, 0, 0], [0.2, 0.3, 0.5, 0], [0.25, 0.25, 0.25, 0.25]])
    found = means(weights, visible)
    assert found.diagonal == pytest.approx((1 + 0.7 + 0.5) / 3)
    assert found.previous == pytest.approx((0.3 + 0.3) / 3)
    assert found.next == 0


def test_diagonal_of_cross_attention_runs_from_corner_to_corner_of_what_is_real() -> None:
    # Two rows over four real keys and one of padding: rows 0 and 1 lie at keys 1 and 3.
    weights = torch.tensor([[0.1, 0.6, 0.2, 0.1, 0.0], [0.1, 0.1, 0.3, 0.5, 0.0]])
    visible = torch.tensor([True, True, True, True, False]).expand(2, 5)
    found = means(weights, visible)
    assert found.diagonal == pytest.approx((0.6 + 0.5) / 2)
    assert found.previous == pytest.approx((0.1 + 0.3) / 2)
    assert found.next == pytest.approx((0.2 + 0) / 2)


@pytest.mark.parametrize("label", ["<s>", "</s>", ".", "▁.", ",", "…", "--", "„", "«", "。", "！", "؟", "()"])
def test_ends_and_punctuation_are_sinks(label: str) -> None:
    assert is_sink(label)


@pytest.mark.parametrize("label", ["the", "▁the", "s", "3.5", "U.S.", "don't", "$", "+", "▁", "", "今日", "🙂"])
def test_words_numbers_and_symbols_are_not_sinks(label: str) -> None:
    assert not is_sink(label)


@pytest.mark.parametrize("kind", ["less than one", "more than one", "below 0", "nothing"])
def test_statistics_of_rows_that_do_not_sum_to_one_stay_from_zero_to_one(kind: str) -> None:
    weights = torch.rand(2, 3, 7, 5)
    weights = {
        "less than one": weights.softmax(-1) * torch.rand(2, 3, 7, 1),
        "more than one": weights,
        "below 0": weights.softmax(-1) - 0.7 * weights.roll(1, -1).softmax(-1),
        "nothing": torch.zeros_like(weights),
    }[kind]
    for visible in (None, torch.ones(7, 5, dtype=torch.bool).tril()):
        shown = weights if visible is None else weights.masked_fill(~visible, 0)
        found = means(shown, None if visible is None else visible.expand(weights.shape))
        for name, values in found._asdict().items():
            assert values.isfinite().all() and (values >= 0).all(), name
            assert name == "entropy" or (values <= 1 + 1e-6).all(), name


def test_nowhere_counts_as_one_more_key_in_entropy_and_has_a_figure_of_its_own() -> None:
    found = means(torch.tensor([[0.25, 0.25, 0.25]]))
    torch.testing.assert_close(found.entropy, torch.tensor(math.log(4)))
    torch.testing.assert_close(found.normalized_entropy, torch.tensor(1.0))
    torch.testing.assert_close(found.nowhere, torch.tensor(0.25))
    assert means(torch.zeros(1, 3)).entropy == 0 and means(torch.zeros(1, 3)).nowhere == 1
    # 0.05 on one key is not sharp, and nothing that is nowhere is a saturated row.
    assert means(torch.tensor([[0.05, 0.0, 0.0]])).saturation == 0


def test_mass_of_a_row_that_sums_to_more_than_one_is_a_share_of_it() -> None:
    sinks = torch.tensor([False, False, True])
    found = means(torch.tensor([[0.9, 0.6, 0.5]]), sinks=sinks)
    torch.testing.assert_close(found.sink_mass, torch.tensor(0.25))
    assert found.nowhere == 0


def test_normalized_entropy_is_over_what_a_pattern_shows_and_nothing_else_changes() -> None:
    weights = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]])
    seen = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]]).bool()
    visible = torch.ones(4, 4, dtype=torch.bool)
    sums, rows = head_statistics(weights, visible, NO_SINK, seen=seen)
    assert rows == 4 and sums.normalized_entropy == 3 and sums.nowhere == 1  # the last sees nothing, and counts
    without, _ = head_statistics(weights, visible, NO_SINK)
    assert without.normalized_entropy == pytest.approx(1.5)
    assert sums._replace(normalized_entropy=without.normalized_entropy) == without
