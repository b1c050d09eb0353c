"""Methods that explain the log-probability of a token: against single runs, differences, and another library."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attribution import Erasure, Forced, GradientTimesInput, IntegratedGradients
from seq2seq.data.tokenizer import PAD
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder

Pair = Callable[..., Forced]


def plain(model: EncoderDecoder, forced: Forced, source: Tensor, read: Tensor) -> Tensor:
    """Return the tokens' log-probabilities by the model as training runs it, of other ids."""
    batch = forced.batch
    with torch.no_grad():
        logits = model(source, batch.source_mask, batch.source_lengths, read, batch.target_indices)
    said = batch.target_output.flatten()[:, None]
    return logits.log_softmax(-1).gather(-1, said)[:, 0]


def test_what_is_explained_is_the_models_log_probability(model: EncoderDecoder, pair: Pair) -> None:
    forced = pair(model)
    expected = plain(model, forced, forced.batch.source, forced.batch.target_input)
    assert_close(forced(forced.source, forced.prefix)[0], expected)
    three = forced(forced.source.expand(3, -1, -1), forced.prefix)
    assert_close(three, expected.expand(3, 5))


@pytest.mark.parametrize("tokens_per_batch", [8192, 30])
def test_erasure_is_a_loop_of_single_runs(model: EncoderDecoder, pair: Pair, tokens_per_batch: int) -> None:
    forced = pair(model, tokens_per_batch=tokens_per_batch)
    found = Erasure()(forced)
    source, read = forced.batch.source, forced.batch.target_input
    whole = plain(model, forced, source, read)
    for unit in range(5):  # a padding's embedding is zero, and here nothing hides it
        without = source.masked_fill(forced.source_units == unit, PAD)
        assert_close(found.source[:, unit], whole - plain(model, forced, without, read))
    for unit in range(4):
        without = read.masked_fill(forced.prefix_units == unit, PAD)
        assert_close(found.prefix[:, unit], whole - plain(model, forced, source, without))


def test_gradient_times_input_is_the_slope_as_a_word_grows(model: EncoderDecoder, pair: Pair) -> None:
    forced, h = pair(model), 1e-6
    found = GradientTimesInput()(forced)
    sides = ((forced.source_units, found.source), (forced.prefix_units, found.prefix))
    for side, (units, contributions) in enumerate(sides):
        for unit in range(contributions.shape[1]):
            up, down = [
                forced(*(x * (1 + sign * h * (units == unit).double())[:, None] if side == i else x
                         for i, x in enumerate((forced.source, forced.prefix))))[0].detach()
                for sign in (1, -1)
            ]  # fmt: skip
            assert_close(contributions[:, unit], (up - down) / (2 * h), rtol=1e-4, atol=1e-6)


def test_integrated_gradients_sum_to_what_zeros_lack_and_tell_their_gap(model: EncoderDecoder, pair: Pair) -> None:
    forced = pair(model)
    with torch.no_grad():
        whole = forced(forced.source, forced.prefix)[0]
        wanted = whole - forced(forced.source * 0, forced.prefix * 0)[0]
    found = IntegratedGradients(tolerance=0.05)(forced)
    assert found.gap is not None
    gap = found.source.sum(-1) + found.prefix.sum(-1) - wanted
    assert_close(found.gap, gap, rtol=0, atol=1e-8)
    assert (gap.abs() < 0.05 * wanted.abs().clamp(min=1)).all()
    assert "backward passes" in found.remark


def test_few_passes_leave_a_gap_that_is_told(models: Callable[[str], EncoderDecoder], pair: Pair) -> None:
    forced = pair(models("transformer"))
    rough = IntegratedGradients(passes=1)(forced)
    fine = IntegratedGradients()(forced)
    assert rough.gap is not None and fine.gap is not None
    assert rough.gap.abs().max() > fine.gap.abs().max()
    assert "all that method.passes allows" in rough.remark
    assert "allows" not in fine.remark


def test_jumps_that_no_slope_sees_cost_what_is_allowed(models: Callable[[str], EncoderDecoder], pair: Pair) -> None:
    forced = pair(models("jumping transformer"))
    found = IntegratedGradients(tolerance=1e-6, passes=500)(forced)
    assert 500 <= int(found.remark.split()[0].replace(",", "")) < 1500
    assert "all that method.passes allows" in found.remark
    assert found.gap is not None
    assert found.gap.abs().max() > 1e-6


@pytest.mark.parametrize("options", [{"tolerance": 0}, {"tolerance": -1}, {"passes": 0}])
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"method.{next(iter(options))}="):
        IntegratedGradients(**options)


@pytest.mark.parametrize("kind", ["luong", "transformer"])
def test_gradients_are_those_of_captum(models: Callable[[str], EncoderDecoder], pair: Pair, kind: str) -> None:
    captum = pytest.importorskip("captum.attr", reason="captum is of the extra dev")
    forced = pair(models(kind))
    inputs = forced.source, forced.prefix
    once, integrated = GradientTimesInput()(forced), IntegratedGradients(tolerance=0.01)(forced)
    for step in range(forced.steps):

        def said(source: Tensor, prefix: Tensor, step: int = step) -> Tensor:
            return forced(source, prefix)[:, step]

        theirs = captum.InputXGradient(said).attribute(tuple(x.clone().requires_grad_() for x in inputs))
        along = captum.IntegratedGradients(said).attribute(inputs, n_steps=200, method="gausslegendre")
        for found, expected, tolerance in ((once, theirs, 1e-8), (integrated, along, 0.05)):  # a ReLU has kinks
            sides = forced.sum_units(*(x.sum(-1) for x in expected))
            for ours, of_captum in zip((found.source, found.prefix), sides, strict=True):
                assert_close(ours[step], of_captum[0].detach(), rtol=1e-2 if tolerance > 1e-3 else 1e-6, atol=tolerance)
