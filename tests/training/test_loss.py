"""The sums that training minimises and reports, beside PyTorch's own cross-entropy in float64."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from seq2seq.training.loss import token_loss

TOKENS, VOCAB = 13, 7


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.37, 1.0])
def test_objective_and_its_gradient_equal_pytorchs_cross_entropy(label_smoothing: float) -> None:
    logits = (3 * torch.randn(TOKENS, VOCAB, dtype=torch.float64)).requires_grad_()
    targets = torch.randint(VOCAB, (TOKENS,))
    expected = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="sum")
    loss = token_loss(logits, targets, label_smoothing=label_smoothing)
    assert_close(loss.objective.double(), expected, rtol=1e-6, atol=1e-5)
    gradient, expected_gradient = (torch.autograd.grad(x, logits)[0] for x in (loss.objective, expected))
    assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_negative_log_likelihood_is_free_of_smoothing_and_of_gradients(label_smoothing: float) -> None:
    logits = torch.randn(TOKENS, VOCAB, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(VOCAB, (TOKENS,))
    found = token_loss(logits, targets, label_smoothing=label_smoothing).negative_log_likelihood
    assert_close(found.double(), F.cross_entropy(logits, targets, reduction="sum").detach(), rtol=1e-6, atol=1e-5)
    assert not found.requires_grad


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    loss = token_loss(torch.zeros(3, 4), torch.tensor([0, 3, 1]), label_smoothing=0.2)
    assert_close(loss.objective, torch.tensor(3 * 1.3862944))
    assert_close(loss.negative_log_likelihood, torch.tensor(3 * 1.3862944))


def test_hand_computed_smoothed_loss() -> None:
    # Probabilities 0.75, 0.25: 0.9 · ln(4/3) + 0.1 · (ln(4/3) + ln 4) / 2.
    logits = torch.tensor([[0.75, 0.25]]).log()
    loss = token_loss(logits, torch.tensor([0]), label_smoothing=0.1)
    assert_close(loss.objective, torch.tensor(0.3426127))
    assert_close(loss.negative_log_likelihood, torch.tensor(0.2876821))


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = torch.randn(1009, VOCAB).bfloat16()
    targets = torch.randint(VOCAB, (1009,))
    expected = F.cross_entropy(logits.double(), targets, label_smoothing=0.1, reduction="sum")
    objective = token_loss(logits, targets, label_smoothing=0.1).objective
    assert objective.dtype is torch.float32
    assert_close(objective.double(), expected, rtol=1e-5, atol=0.0)
