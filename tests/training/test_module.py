"""A training step against PyTorch's own loss, clipping, and what a checkpoint carries."""

import random
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from seq2seq.checkpoint import KEY, AlignmentChoice
from seq2seq.data.batching import Batch, collate
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.errors import UserError
from seq2seq.training.loss import token_loss
from seq2seq.training.module import TranslationModule
from seq2seq.training.schedule import cosine

VOCAB = 11
NOTHING: Any = None
BATCH = collate([([4, 5, 6], [7, 8], 0), ([4], [9, 10, 7, 8, 5], 1)])


class Fixed(nn.Module):
    """Logits that are its parameter, a row for each target token."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(20, VOCAB))
        self.output = nn.Linear(VOCAB, VOCAB, bias=False).requires_grad_(False)
        nn.init.eye_(self.output.weight)

    def features(self, *given: Tensor) -> Tensor:
        return self.logits[: len(given[-1])]


@pytest.fixture
def logged() -> dict[str, Any]:
    return {}


def make(logged: dict[str, Any], *, smoothing: float = 0.1, **options: Any) -> Any:
    module: Any = TranslationModule(
        cast(Any, Fixed()),
        tokenizers=options.pop("tokenizers", None),
        search=NOTHING,
        evaluator=NOTHING,
        optimizer=partial(torch.optim.Adam, lr=0.01),
        scheduler={"scheduler": partial(cosine, warmup_steps=2, total_steps=NOTHING), "interval": "step"},
        label_smoothing=smoothing,
        config={"seed": 1},
        **options,
    )
    module.log = lambda name, value, **_: logged.__setitem__(name, value)
    module.log_dict = logged.update
    return module


OTHER = collate([([4, 5], [7, 8, 4, 9, 10], 0), ([4], [9], 1), ([4, 5, 6], [5], 2)])


def step(module: Any, logged: dict[str, Any], limit: float | None, *batches: Batch) -> None:
    """Make what Lightning makes of batches that are accumulated: their losses, divided by their number, backward."""
    for batch in batches:
        (module.training_step(batch, 0) / len(batches)).backward()
    module._trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=len(batches), strategy=None)
    module.configure_gradient_clipping(torch.optim.Adam(module.model.parameters()), limit)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("batches", [[BATCH], [BATCH, OTHER]], ids=len)
def test_gradient_is_that_of_the_mean_over_all_real_target_tokens(
    logged: dict[str, Any], smoothing: float, batches: list[Batch]
) -> None:
    module = make(logged, smoothing=smoothing)
    logits = torch.cat([module.model.logits[: batch.num_tokens] for batch in batches])
    targets = torch.cat([batch.target_output for batch in batches])
    expected = nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    plain = nn.functional.cross_entropy(logits, targets)
    (gradient,) = torch.autograd.grad(expected, module.model.logits)
    step(module, logged, None, *batches)
    torch.testing.assert_close(module.model.logits.grad, gradient)
    torch.testing.assert_close(logged["train/loss"], expected.detach())
    torch.testing.assert_close(logged["train/perplexity"], plain.exp().detach())
    torch.testing.assert_close(logged["train/gradient_norm"], gradient.norm())
    assert logged["train/padding_share"].item() == pytest.approx(batches[-1].padding_share)
    assert batches[-1].padding_share > 0


def test_r_drop_is_of_two_passes_with_different_dropout(logged: dict[str, Any]) -> None:
    module = make(logged, r_drop=5.0)
    seen = []

    def features(*given: Tensor) -> Tensor:
        logits = module.model.logits[: BATCH.num_tokens].repeat(2, 1)
        assert len(given[-1]) == len(logits)
        seen.append(nn.functional.dropout(logits, 0.3).unflatten(0, (2, -1)))
        return seen[-1].flatten(0, 1)

    module.model.features = features
    step(module, logged, None, BATCH)
    (passes,) = seen
    assert not torch.equal(*passes)
    identity = module.model.output.weight
    expected = token_loss(passes, identity, BATCH.target_output, label_smoothing=0.1, r_drop=5.0)
    torch.testing.assert_close(logged["train/loss"], expected.objective.detach() / BATCH.num_tokens)
    torch.testing.assert_close(logged["train/divergence"], expected.divergence / BATCH.num_tokens)
    assert logged["train/divergence"] > 0


@pytest.mark.parametrize("r_drop", [0.0, 1.0])
def test_other_losses_are_the_mean_of_the_passes(logged: dict[str, Any], r_drop: float) -> None:
    batch = collate([([4, 5, 6], [7, 8], 0, [(0, 0)]), ([4], [9, 10, 7], 1, [(0, 2)])])
    guidance: Any = SimpleNamespace(name="x", weight=0.5, loss=lambda _, weights: weights.sum())
    coverage: Any = SimpleNamespace(names=(), weight=2.0, loss=lambda _, indices: torch.tensor(float(len(indices))))
    step(make(logged, r_drop=r_drop, guidance=guidance, coverage=coverage), logged, None, batch)
    assert batch.link_weights is not None
    assert logged["train/guidance"] * batch.num_tokens == pytest.approx(batch.link_weights.sum().item())
    assert logged["train/coverage"] == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.5, 2.0, None])
def test_gradient_is_clipped_and_its_norm_before_is_logged(logged: dict[str, Any], share: float | None) -> None:
    module, other = make(logged), make({})
    other.load_state_dict(module.state_dict())
    step(other, {}, None, BATCH)
    whole = other.model.logits.grad.norm()
    step(module, logged, None if share is None else share * whole.item(), BATCH)
    torch.testing.assert_close(logged["train/gradient_norm"], whole)
    expected = whole if share is None else min(share, 1.0) * whole
    torch.testing.assert_close(module.model.logits.grad.norm(), expected, rtol=1e-4, atol=0)


def test_norm_of_half_precision_gradients_is_finite_where_their_sum_is_large(logged: dict[str, Any]) -> None:
    module = make(logged)
    module.training_step(BATCH, 0)
    module.model.half()
    module.model.logits.grad = torch.full_like(module.model.logits, 6e4)
    module._trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=1, strategy=None)
    module.configure_gradient_clipping(torch.optim.Adam(module.model.parameters()), 1.0)
    assert logged["train/gradient_norm"].isfinite()
    torch.testing.assert_close(module.model.logits.grad.float().norm(), torch.tensor(1.0), rtol=0.1, atol=0)


def test_step_never_looks_at_a_value(logged: dict[str, Any]) -> None:
    """A look would wait for the device; on the meta device there is nothing to look at, so it raises."""
    module = make(logged, r_drop=1.0).to("meta")
    step(module, logged, 1.0, BATCH.to("meta"))
    assert module.model.logits.grad is not None and logged["train/gradient_norm"].is_meta
    assert logged["train/padding_share"].device.type == "cpu"  # made of a plain number, it stays with it


def test_random_numbers_of_a_step_follow_from_its_place_alone(logged: dict[str, Any]) -> None:
    module = make(logged)

    def drawn(epoch: int, index: int, rank: int = 0) -> tuple[float, ...]:
        random.random(), torch.rand(3), np.random.rand()  # what happened before does not matter
        module._trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
        module.on_train_batch_start(BATCH, index)
        return random.random(), torch.rand(()).item(), np.random.rand()

    assert drawn(1, 2) == drawn(1, 2)
    assert len({drawn(*place) for place in ((0, 0), (0, 1), (1, 0), (0, 0, 1), (1, 1))}) == 5


def make_tokenizer(letters: str) -> Tokenizer:
    config = TokenizerConfig(
        model_type="bpe",
        vocab_size=20,
        joint=True,
        sampling=0.0,
        normalization="nfc",
        character_coverage=1.0,
        input_sentence_size=1000,
    )
    return Tokenizer(train_tokenizer([f"{letters} {letters[::-1]}"] * 3, config))


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("alignment", [None, AlignmentChoice("decoder.attention", 3), AlignmentChoice("a", None)])
def test_checkpoint_carries_configuration_tokenizers_and_alignment(
    logged: dict[str, Any], joint: bool, alignment: AlignmentChoice | None
) -> None:
    source = make_tokenizer("abcdef")
    target = source if joint else make_tokenizer("ghijkl")
    module = make(logged, tokenizers=Tokenizers(source, target))
    module.alignment = alignment
    content: dict[str, Any] = {}
    module.on_save_checkpoint(content)
    assert content[KEY]["config"] == {"seed": 1}
    assert content[KEY]["tokenizers"] == [source.model_proto] if joint else [source.model_proto, target.model_proto]
    other = make({}, tokenizers=Tokenizers(source, target))
    other.on_load_checkpoint(content)
    assert other.alignment == alignment
    stranger = make({}, tokenizers=Tokenizers(target, make_tokenizer("mnopqr")))
    with pytest.raises(UserError, match="the vocabulary is not that of the checkpoint"):
        stranger.on_load_checkpoint(content)


def optimizer_of(logged: dict[str, Any], steps: int, scheduler: dict[str, Any], **optimizer: Any) -> dict[str, Any]:
    """What Lightning is told for a training of so many steps."""
    module = make(logged)
    module.scheduler = scheduler
    if optimizer:
        module.make_optimizer = partial(torch.optim.Adam, **optimizer)
    trainer = SimpleNamespace(estimated_stepping_batches=steps, max_epochs=steps, check_val_every_n_epoch=3)
    module._trainer = trainer
    return module.configure_optimizers()


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (5, 2)])
def test_every_update_of_the_default_schedule_learns(
    logged: dict[str, Any], steps: int, warmup: int, interval: str
) -> None:
    schedule = {"scheduler": partial(cosine, warmup_steps=warmup, total_steps=NOTHING), "interval": interval}
    told = optimizer_of(logged, steps, schedule)
    rates = []
    for _ in range(steps + 1):
        rates.append(told["lr_scheduler"]["scheduler"].get_last_lr()[0])
        told["optimizer"].step()
        told["lr_scheduler"]["scheduler"].step()
    assert min(rates[:steps]) > 0 and rates[steps] == pytest.approx(0)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"warmup_steps": 8, "total_steps": None}, "warmup_steps=8: the training has 7 steps, so the rate never rises"),
        ({"warmup_steps": 1, "total_steps": 4}, "total_steps=4: the training has 7 steps, and from that one on"),
        ({"warmup_steps": 7, "total_steps": None}, None),
    ],
)
def test_schedule_that_does_not_fit_the_training_is_said(
    logged: dict[str, Any], caplog: pytest.LogCaptureFixture, options: dict[str, Any], line: str | None
) -> None:
    optimizer_of(logged, 7, {"scheduler": partial(cosine, **options), "interval": "step"})
    assert caplog.text == "" if line is None else line in caplog.text


def test_schedule_that_watches_a_score_looks_when_there_is_a_new_one(logged: dict[str, Any]) -> None:
    plateau = {"scheduler": partial(ReduceLROnPlateau, mode="max"), "monitor": "val/bleu", "interval": "epoch"}
    assert optimizer_of(logged, 7, plateau)["lr_scheduler"]["frequency"] == 3
    with pytest.raises(UserError, match=r"scheduler\.interval=step: .* say scheduler\.interval=epoch"):
        optimizer_of(logged, 7, plateau | {"interval": "step"})


def test_what_pytorch_refuses_is_said_with_our_keys(logged: dict[str, Any]) -> None:
    plateau = {"scheduler": partial(ReduceLROnPlateau, factor=2), "monitor": "val/bleu", "interval": "epoch"}
    with pytest.raises(UserError, match=r"^scheduler\.scheduler: Factor .*\(scheduler\.scheduler\.factor=2\)$"):
        optimizer_of(logged, 7, plateau)
    with pytest.raises(UserError, match=r"^optimizer: Invalid beta .*\(optimizer\.betas=\(1, 1\)\)$"):
        optimizer_of(logged, 7, plateau, betas=(1, 1))


@pytest.mark.parametrize("part", ["guidance", "coverage"])
def test_compiled_model_that_is_to_show_its_weights_is_refused(logged: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError, match=r"training\.\w+ reads attention weights.*leave out training\.compile"):
        make(logged, compiled=True, **{part: cast(Any, object())})
