"""What is told while a model trains: throughput, a progress bar, a line a validation, hyperparameters."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar

from seq2seq.data.batching import Batch
from seq2seq.evaluation.by_corpus import lines_by_corpus, scores_line
from seq2seq.training.attached import callbacks_of, data_of
from seq2seq.training.flops import StepFlops, matrix_rate, step_flops
from seq2seq.training.loggers import boards, show_scores
from seq2seq.training.module import TranslationModule
from seq2seq.training.source_share import SHARE, SourceShare

log = logging.getLogger(__name__)

HYPERPARAMETERS = (
    *("run_name", "seed", "model", "encoder", "decoder", "score", "normalizer", "cross_pattern"),
    *("optimizer", "tokenizer"),
)
HYPERPARAMETER_METRICS = ("val/bleu", "val/chrf", "val/aer", "val/perplexity", "test/bleu", "test/chrf", "test/aer")

CHARTS = {
    "translation": {"loss": ["train/loss", "val/loss"], "BLEU and chrF": ["val/bleu", "val/chrf"]},
    "alignment": {
        "alignment error rate": ["val/aer", "val/aer_argmax", "val/aer_diagonal"],
        "entropy, nats": ["val/entropy"],
        "weight on </s>, <s> and punctuation, and on nothing": ["val/sink_mass", "val/nowhere"],
    },
    "training": {
        "target tokens a second": ["train/target_tokens_per_second"],
        "gradient norm": ["train/gradient_norm"],
        "shares: padding, waiting, utilization": [
            "train/padding_share",
            "train/waiting_share",
            "train/flops_utilization",
        ],
    },
}
"""Main curves by group and chart, as regular expressions of their tags."""


class Throughput(Callback):
    """Logs how fast training is; validation and checkpoints do not count.

    `train/target_tokens_per_second` counts real target tokens; `train/waiting_share` is the share of the time between
    steps, in which batches are waited for and scalars written; `train/flops_utilization` is the share that a step's
    matrix products have of what the device can do, measured at the start at the precision of the training.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.seconds = 0.0
        self.waiting = 0.0  # of the seconds, those between steps
        self._since: float | None = None  # when the clock was started; None while it stands
        self._step_ended: float | None = None
        self._window = _Window()  # since the latest log
        self._step_flops: StepFlops | None = None
        self._passes = 1
        self._device_rate = 0.0

    @property
    def target_tokens_per_second(self) -> float:
        """Over the whole training so far."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, so that a resumed run goes on counting."""
        return {"tokens": self.tokens, "seconds": self.seconds, "waiting": self.waiting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the counts back."""
        self.tokens, self.seconds, self.waiting = state["tokens"], state["seconds"], state["waiting"]

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Count the operations of a step, and measure what the device can do."""
        assert isinstance(module, TranslationModule)
        try:
            self._step_flops = step_flops(module.model)
            self._passes = module.passes
        except Exception as error:  # whatever a part of the user's own says: what is only counted ends no training
            log.warning("no train/flops_utilization: the model does not run on the smallest batches (%s)", error)
            return
        kinds = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
        dtype = next((kinds[kind] for kind in kinds if str(trainer.precision).startswith(kind)), torch.float32)
        self._device_rate = matrix_rate(module.device, dtype)

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the clock where it stands."""
        now = time.perf_counter()
        if self._since is None:
            self._since = now
        elif self._step_ended is not None:
            self.waiting += now - self._step_ended
            self._window.waiting += now - self._step_ended

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, _: Any, batch: Batch, __: int
    ) -> None:
        """Count the batch; of several processes each other one's is taken for as large."""
        tokens = batch.num_tokens * trainer.world_size
        self.tokens += tokens
        self._window.tokens += tokens
        if self._step_flops:
            self._window.flops += self._step_flops(batch) * self._passes
        self._tick(stop=False)
        # A connector sets `log_every_n_steps`, which the class does not declare.
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            window, self._window = self._window, _Window()
            seconds = max(window.seconds, 1e-9)
            module.log("train/target_tokens_per_second", window.tokens / seconds)
            module.log("train/waiting_share", window.waiting / seconds)
            if self._step_flops:
                module.log("train/flops_utilization", window.flops / seconds / self._device_rate)
        self._step_ended = time.perf_counter()

    def on_validation_start(self, *_: Any) -> None:
        """Stop the clock."""
        self._tick(stop=True)

    def on_train_epoch_end(self, *_: Any) -> None:
        """Stop the clock: checkpoints are written now."""
        self._tick(stop=True)

    def _tick(self, *, stop: bool) -> None:
        if self._since is not None:
            now = time.perf_counter()
            self.seconds += now - self._since
            self._window.seconds += now - self._since
            self._since = None if stop else now


@dataclass
class _Window:
    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    waiting: float = 0.0


class ProgressBar(TQDMProgressBar):
    """Loss and target tokens a second on the bar."""

    def get_metrics(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> dict[str, Any]:
        """Return what stands at the right of the bar: the latest logged values, which are on the host already."""
        logged = trainer.logged_metrics
        shown: dict[str, Any] = {}
        if "train/loss" in logged:
            shown["loss"] = f"{float(logged['train/loss']):.3f}"
        if "train/target_tokens_per_second" in logged:
            shown["tokens/s"] = f"{float(logged['train/target_tokens_per_second']):,.0f}"
        return shown


class ValidationReport(Callback):
    """Writes a line to the log at every validation, and groups the main curves on TensorBoard's Custom Scalars tab."""

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write the groups."""
        charts = {group: {name: ["Multiline", tags] for name, tags in chart.items()} for group, chart in CHARTS.items()}
        if any(isinstance(callback, SourceShare) for callback in callbacks_of(trainer)):
            charts["alignment"]["share of the source, by place in the target"] = ["Multiline", [f"{SHARE}.*"]]
        for logger in boards(trainer):
            logger.experiment.add_custom_scalars(charts)

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Say, once the first epoch is over, where none has as many batches as a validation waits for."""
        progress = trainer.fit_loop.epoch_loop.batch_progress
        missed = data_of(trainer).missed_validation(progress.current.completed) if progress.is_last_batch else None
        if missed and trainer.current_epoch == 0:
            log.warning("%s", missed)

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write the line."""
        assert isinstance(module, TranslationModule) and module.evaluation is not None
        metrics = module.evaluation.metrics
        parts = [
            f"epoch {trainer.current_epoch + 1:>3}",
            f"step {trainer.global_step:>6}",
            f"perplexity {metrics['perplexity']:8.3f}",
            f"BLEU {metrics['bleu']:5.2f}",
            f"chrF {metrics['chrf']:5.2f}",
        ]
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None:
            parts.insert(2, f"training loss {float(loss):6.3f}")
        if "aer" in metrics:
            parts.append(f"AER {100 * metrics['aer']:4.1f} %")
        speed = trainer.callback_metrics.get("train/target_tokens_per_second")
        if speed is not None:
            parts.append(f"{float(speed):,.0f} tokens/s")
        log.info("   ".join(parts))
        for name, own in lines_by_corpus(metrics):
            log.info("  %-23s %s", name, scores_line(own))


def log_hyperparameters(trainer: lightning.Trainer, config: dict[str, Any], metrics: dict[str, float]) -> None:
    """Give a run's settings with its scores to its loggers; TensorBoard has its HParams tab for them."""
    settings = _flat({key: config[key] for key in HYPERPARAMETERS if config.get(key)})
    if "trainer" in config:
        settings["trainer.precision"] = config["trainer"]["precision"]
    scores = {name: metrics[name] for name in HYPERPARAMETER_METRICS if name in metrics}
    show_scores(trainer, settings, scores)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by their dotted names."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves |= _flat(value, f"{prefix}{name}.")
        elif name != "_partial_":  # says how an object is made, not which
            leaves[f"{prefix}{name}"] = value
    return leaves
