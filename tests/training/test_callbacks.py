"""What is counted and shown while a model trains."""

from types import SimpleNamespace
from typing import Any, cast

import lightning
import pytest
import torch

from seq2seq.alignment.links import parse_links
from seq2seq.alignment.sentence import Sentence
from seq2seq.training import callbacks
from seq2seq.training.callbacks import ProgressBar, Throughput, log_hyperparameters
from seq2seq.training.module import TranslationModule
from seq2seq.training.pictures import PinnedSentences


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(callbacks, "time", clock)
    return clock


def train(throughput: Throughput, clock: Clock, *, seconds: float, tokens: int, step: int) -> dict[str, float]:
    """One batch; return what was logged."""
    logged: dict[str, float] = {}
    module: Any = SimpleNamespace(log=logged.__setitem__)
    trainer: Any = SimpleNamespace(global_step=step, log_every_n_steps=2, world_size=1)
    throughput.on_train_batch_start(trainer, module, None, 0)
    clock.now += seconds
    batch: Any = SimpleNamespace(num_tokens=tokens)
    throughput.on_train_batch_end(trainer, module, None, batch, 0)
    return logged


def test_throughput_is_that_of_training_alone(clock: Clock) -> None:
    throughput = Throughput()
    assert throughput.target_tokens_per_second == 0.0
    train(throughput, clock, seconds=2, tokens=100, step=1)
    throughput.on_validation_start()
    clock.now += 50
    train(throughput, clock, seconds=3, tokens=150, step=2)
    throughput.on_train_epoch_end()
    clock.now += 50
    train(throughput, clock, seconds=5, tokens=750, step=3)
    assert (throughput.tokens, throughput.seconds) == (1000, 10)
    assert throughput.target_tokens_per_second == 100


@pytest.mark.parametrize("passes", [1, 2])
def test_utilization_counts_every_pass_of_a_step(clock: Clock, monkeypatch: pytest.MonkeyPatch, passes: int) -> None:
    class Module(TranslationModule):
        def __init__(self) -> None:
            lightning.LightningModule.__init__(self)
            self.model = None  # type: ignore[assignment]
            self.passes = passes

    monkeypatch.setattr(callbacks, "step_flops", lambda _: lambda batch: 3 * batch.num_tokens)
    monkeypatch.setattr(callbacks, "matrix_rate", lambda *_: 1000.0)
    throughput = Throughput()
    throughput.on_train_start(SimpleNamespace(precision="32-true"), Module())  # type: ignore[arg-type]
    logged = train(throughput, clock, seconds=2, tokens=100, step=2)
    assert logged["train/flops_utilization"] == pytest.approx(passes * 300 / 2 / 1000)


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, TypeError, ValueError, IndexError])
def test_part_that_cannot_be_counted_does_not_end_the_training(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def count(_: Any) -> Any:
        raise error("too short")

    monkeypatch.setattr("seq2seq.training.callbacks.step_flops", count)
    module = TranslationModule.__new__(TranslationModule)
    lightning.LightningModule.__init__(module)
    module.model = torch.nn.Linear(1, 1)  # type: ignore[assignment]
    Throughput().on_train_start(cast(Any, None), module)
    assert "no train/flops_utilization: the model does not run on the smallest batches (too short)" in caplog.text


def test_logged_throughput_is_that_since_the_latest_log(clock: Clock) -> None:
    throughput = Throughput()
    name = "train/target_tokens_per_second"
    assert train(throughput, clock, seconds=2, tokens=100, step=1) == {}
    assert train(throughput, clock, seconds=2, tokens=300, step=2)[name] == 100
    assert train(throughput, clock, seconds=1, tokens=100, step=3) == {}
    assert train(throughput, clock, seconds=1, tokens=300, step=4)[name] == 200


def test_time_between_batches_counts(clock: Clock) -> None:
    """Waiting for data is part of training."""
    throughput = Throughput()
    train(throughput, clock, seconds=2, tokens=100, step=1)
    clock.now += 3
    logged = train(throughput, clock, seconds=5, tokens=100, step=2)
    assert throughput.seconds == 10
    assert logged["train/waiting_share"] == pytest.approx(0.3)


def test_counts_go_on_after_a_pause(clock: Clock) -> None:
    before, after = Throughput(), Throughput()
    train(before, clock, seconds=2, tokens=100, step=1)
    after.load_state_dict(before.state_dict())
    clock.now += 1000
    logged = train(after, clock, seconds=2, tokens=500, step=2)
    assert (after.tokens, after.seconds) == (600, 4)
    assert logged == {"train/target_tokens_per_second": 250, "train/waiting_share": 0.0}


def test_bar_shows_loss_and_speed() -> None:
    logged = {"train/loss": 1.23456, "train/target_tokens_per_second": 12345.6, "val/bleu": 3.0}
    trainer: Any = SimpleNamespace(logged_metrics=logged)
    assert ProgressBar().get_metrics(trainer, lightning.LightningModule()) == {"loss": "1.235", "tokens/s": "12,346"}
    trainer.logged_metrics = {}
    assert ProgressBar().get_metrics(trainer, lightning.LightningModule()) == {}


def test_pictures_are_of_words_or_pieces() -> None:
    with pytest.raises(ValueError, match="callbacks.pinned.unit=letters must be words or pieces"):
        PinnedSentences(folder="x", sentences=[0], unit="letters", every_head=[])


def test_pictures_of_heads_are_of_attention_that_exists() -> None:
    with pytest.raises(ValueError, match="every_head: there is no corss; choose among cross, encoder, decoder"):
        PinnedSentences(folder="x", sentences=[0], unit="words", every_head=["corss"])


def test_gold_links_of_words_that_were_cut_off_are_not_those_of_the_end() -> None:
    pinned = PinnedSentences(folder="x", sentences=[0], unit="words", every_head=[])
    cut = Sentence("a b c", [4, 5], ["▁a", "▁b"], ["a", "b"], [0, 1])  # whose end is the place 2
    assert pinned._gold({"links": "0-0 1p1 1-2 2-1 2-2"}, (cut, cut)) == parse_links("0-0 1p1")


def test_run_without_tensorboard_has_no_hyperparameters_to_write() -> None:
    trainer: Any = SimpleNamespace(loggers=[])
    log_hyperparameters(trainer, {"seed": 1}, {"val/bleu": 1.0})
