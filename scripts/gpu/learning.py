"""Whole trainings: the embedded default until BLEU 95, and Multi30k's Transformer-Tiny."""

import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from gpu.parts import SMALL, SMALL_TRANSFORMER, Run, Setting, real_run, small_text
from gpu.report import Report
from seq2seq.evaluation.evaluator import evaluate
from seq2seq.training.callbacks import Throughput

GRAMMAR, MULTI30K = "grammar", "multi30k"
"""Folders of these runs, whose checkpoints later stages use."""

GOAL = 95.0
EPOCHS = 33
"""Of the recipe for Multi30k."""


class Validations(Callback):
    """When each validation came to which BLEU; stops at a goal, or when the time is over."""

    def __init__(self, setting: Setting, *, goal: float, spare: float) -> None:
        self.setting, self.goal, self.spare = setting, goal, spare
        self.seconds: list[float] = []
        self.bleu: list[float] = []
        self._begin = 0.0

    def on_train_start(self, *_: Any) -> None:
        """Start the clock."""
        self._begin = time.perf_counter()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stop when only the spare time is left."""
        if self.setting.left < self.spare:
            trainer.should_stop = True

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Note it."""
        self.seconds.append(time.perf_counter() - self._begin)
        self.bleu.append(module.evaluation.metrics["bleu"])
        if self.bleu[-1] >= self.goal:
            trainer.should_stop = True


def run_grammar(setting: Setting, report: Report) -> None:
    """Train `seq2seq train`'s own default."""
    validations = Validations(setting, goal=GOAL, spare=8)
    tiny = [*small_text(setting.folder / "text", 100), *SMALL, "trainer.max_epochs=1", "search.max_length=9"]
    begin = time.perf_counter()
    run = real_run(["callbacks.pinned=null", *(tiny if setting.rehearsal else [])], setting.folder / GRAMMAR, setting,
                   validations)  # fmt: skip
    prepared = time.perf_counter() - begin
    run.trainer.fit(run.module, datamodule=run.data)
    best = max(validations.bleu, default=0.0)
    reached = next((s for s, bleu in zip(validations.seconds, validations.bleu, strict=True) if bleu >= GOAL), None)
    report.row(
        "The embedded default",
        {
            "seconds until BLEU 95 on validation": reached,
            "best BLEU": best,
            "epochs": len(validations.bleu),
            "seconds of training": validations.seconds[-1] if validations.seconds else None,
            "tokens/s": _rate(run),
            "seconds of preparing text": prepared,
        },
    )
    if not setting.rehearsal:
        report.check("the embedded default comes to BLEU 95", reached is not None, f"BLEU {best:.1f}")


def run_multi30k(setting: Setting, report: Report) -> None:
    """Train the recipe for as many epochs as there is time for, its whole schedule over them, and test."""
    root = setting.data
    if root is None and not setting.rehearsal:
        report.row("Multi30k", {"what": "no --data: not run"})
        return
    overrides = ["experiment=multi30k_transformer_tiny", f"data.root={root}", "callbacks.pinned=null"]
    if setting.rehearsal:
        text = small_text(setting.folder / "text", 100)
        overrides = [*text, "model=transformer", *SMALL, *SMALL_TRANSFORMER, "optimizer=muon", "callbacks=ema",
                     "training.r_drop=1", "search.max_length=9", "callbacks.pinned=null"]  # fmt: skip
    epochs, each = (1, 0.0) if setting.rehearsal else _affordable(overrides, setting)
    validations = Validations(setting, goal=1000.0, spare=25)
    often = [f"trainer.max_epochs={epochs}", f"trainer.check_val_every_n_epoch={epochs}"]
    run = real_run([*overrides, *often], setting.folder / MULTI30K, setting, validations)
    begin = time.perf_counter()
    run.trainer.fit(run.module, datamodule=run.data)
    minutes = (time.perf_counter() - begin) / 60
    run.data.trainer = None
    evaluation = evaluate(
        run.module.model.to(setting.device), run.data.test_dataloader("test"), run.module.make_evaluator("test")
    )
    bleu = evaluation.metrics["bleu"]
    report.row(
        "Multi30k, Transformer-Tiny, en-de",
        {
            "epochs": epochs,
            "minutes": minutes,
            "BLEU on test": bleu,
            "AER": 100 * evaluation.metrics.get("aer", float("nan")),
            "tokens/s": _rate(run),
            f"minutes that {EPOCHS} epochs would take": each * EPOCHS / 60,
        },
    )
    if epochs == EPOCHS:
        report.check("Multi30k comes to BLEU 41", bleu >= 40.5, f"BLEU {bleu:.1f}")


def _affordable(overrides: list[str], setting: Setting) -> tuple[int, float]:
    """Return how many epochs there is time for, and the seconds of one, after some steps of a run that is given up."""
    steps = 60
    options = [
        f"trainer.max_steps={steps}",
        "trainer.limit_val_batches=0",
        "callbacks.last=null",
        "callbacks.best=null",
    ]
    run = real_run([*overrides, *options], setting.folder / "rehearsed", setting)
    batches = len(run.data.train_dataloader())
    run.trainer.fit(run.module, datamodule=run.data)
    (throughput,) = (callback for callback in run.trainer.callbacks if isinstance(callback, Throughput))  # type: ignore[attr-defined]
    each = batches * throughput.seconds / steps
    return max(1, min(EPOCHS, int((setting.left - 40) / (1.15 * each)))), each


def _rate(run: Run) -> float:
    (throughput,) = (callback for callback in run.trainer.callbacks if isinstance(callback, Throughput))  # type: ignore[attr-defined]
    return throughput.target_tokens_per_second
