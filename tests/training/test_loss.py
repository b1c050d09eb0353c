"""The sums that training minimises and reports, beside PyTorch's own cross-entropy in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from seq2seq.training import loss as training_loss
from seq2seq.training.loss import ROWS, token_loss

TOKENS, SIZE, VOCAB = 13, 5, 7


def inputs(tokens: int = TOKENS, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Return features and weight that need gradients, and targets."""
    features, weight = torch.randn(tokens, SIZE, dtype=dtype), torch.randn(VOCAB, SIZE, dtype=dtype)
    return features.requires_grad_(), weight.requires_grad_(), torch.randint(VOCAB, (tokens,))


@pytest.fixture(params=[1, 4, 10**6], ids="rows={}".format)
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows of logits are at hand at once."""
    monkeypatch.setitem(ROWS, "cpu", request.param)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.37, 1.0])
def test_objective_and_its_gradients_equal_pytorchs_cross_entropy(label_smoothing: float) -> None:
    features, weight, targets = inputs()
    logits = features @ weight.T
    expected = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="sum")
    loss = token_loss(features, weight, targets, label_smoothing=label_smoothing)
    assert_close(loss.objective, expected)
    gradients, expected_gradients = (
        torch.autograd.grad(3 * x, (features, weight)) for x in (loss.objective, expected)
    )  # the factor 3: what comes from above counts
    assert_close(gradients, expected_gradients)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_negative_log_likelihood_is_free_of_smoothing_and_of_gradients(label_smoothing: float) -> None:
    features, weight, targets = inputs()
    found = token_loss(features, weight, targets, label_smoothing=label_smoothing).negative_log_likelihood
    assert_close(found, F.cross_entropy(features @ weight.T, targets, reduction="sum").detach())
    assert not found.requires_grad


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_r_drop_is_half_of_its_equation(label_smoothing: float, alpha: float) -> None:
    first, weight, targets = inputs()
    second = torch.randn_like(first).requires_grad_()
    one, other = ((features @ weight.T).log_softmax(-1) for features in (first, second))
    entropies = [F.cross_entropy(x, targets, label_smoothing=label_smoothing, reduction="sum") for x in (one, other)]
    divergences = [F.kl_div(x, y, log_target=True, reduction="sum") for x, y in ((one, other), (other, one))]
    cross_entropy, divergence = torch.stack(entropies).sum(), torch.stack(divergences).mean()
    expected = (cross_entropy + alpha * divergence) / 2
    loss = token_loss(torch.stack((first, second)), weight, targets, label_smoothing=label_smoothing, r_drop=alpha)
    assert_close(loss.objective, expected)
    assert_close(loss.divergence, divergence.detach())
    assert_close(
        loss.negative_log_likelihood, sum(F.nll_loss(x, targets, reduction="sum").detach() for x in (one, other)) / 2
    )
    assert not loss.divergence.requires_grad
    gradients, expected_gradients = (
        torch.autograd.grad(3 * x, (first, second, weight)) for x in (loss.objective, expected)
    )
    assert_close(gradients, expected_gradients)


def test_two_equal_passes_lose_what_one_does() -> None:
    features, weight, targets = inputs()
    one = token_loss(features, weight, targets, label_smoothing=0.1)
    two = token_loss(torch.stack((features, features)), weight, targets, label_smoothing=0.1, r_drop=5.0)
    assert_close(tuple(two), tuple(one))
    assert_close(torch.autograd.grad(two.objective, features), torch.autograd.grad(one.objective, features))


def test_without_gradients_none_are_made() -> None:
    features, weight, targets = inputs()
    with torch.no_grad():
        loss = token_loss(features, weight, targets, label_smoothing=0.1)
    assert not loss.objective.requires_grad
    assert_close(loss, token_loss(features.detach(), weight.detach(), targets, label_smoothing=0.1))


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    loss = token_loss(torch.zeros(3, 2), torch.ones(4, 2), torch.tensor([0, 3, 1]), label_smoothing=0.2)
    assert_close(loss.objective, torch.tensor(3 * 1.3862944))
    assert_close(loss.negative_log_likelihood, torch.tensor(3 * 1.3862944))


def test_hand_computed_smoothed_loss() -> None:
    # Probabilities 0.75, 0.25: 0.9 · ln(4/3) + 0.1 · (ln(4/3) + ln 4) / 2.
    logits = torch.tensor([[0.75, 0.25]]).log()
    loss = token_loss(logits, torch.eye(2), torch.tensor([0]), label_smoothing=0.1)
    assert_close(loss.objective, torch.tensor(0.3426127))
    assert_close(loss.negative_log_likelihood, torch.tensor(0.2876821))


def test_under_autocast_products_are_half_precision_and_sums_float32() -> None:
    features, weight, targets = inputs(1009, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = features @ weight.T
        loss = token_loss(features, weight, targets, label_smoothing=0.1)
    expected = F.cross_entropy(logits.double(), targets, label_smoothing=0.1, reduction="sum")
    assert logits.dtype is torch.bfloat16 and loss.objective.dtype is torch.float32
    assert_close(loss.objective.double(), expected, rtol=1e-5, atol=0.0)
    gradients, expected_gradients = (torch.autograd.grad(x, (features, weight)) for x in (loss.objective, expected))
    assert [gradient.dtype for gradient in gradients] == [torch.float32, torch.float32]
    assert_close(gradients, expected_gradients, rtol=0.05, atol=0.05)


@pytest.mark.filterwarnings("ignore")  # what the compiler warns of itself
def test_compiled_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = torch.compile(training_loss._loss_of_rows, dynamic=True, backend="aot_eager")
    monkeypatch.setattr(training_loss, "_compiled", lambda: made)
    monkeypatch.setitem(ROWS, "cpu", 6)  # of the last rows there are fewer
    first, weight, targets = inputs()
    features = torch.stack((first.detach(), torch.randn_like(first))).requires_grad_()

    def found(*, compiled: bool) -> tuple[Tensor, ...]:
        loss = token_loss(features, weight, targets, label_smoothing=0.1, r_drop=5.0, compiled=compiled)
        return *loss, *torch.autograd.grad(loss.objective, (features, weight))

    assert_close(found(compiled=True), found(compiled=False))


def test_runs_without_data() -> None:
    features, weight, targets = (x.detach().to("meta").requires_grad_(x.is_floating_point()) for x in inputs())
    token_loss(
        torch.stack((features, 2 * features)), weight, targets, label_smoothing=0.1, r_drop=5.0
    ).objective.backward()
    assert features.grad is not None and weight.grad is not None
    assert (features.grad.shape, weight.grad.shape) == ((TOKENS, SIZE), (VOCAB, SIZE))
