"""Training in each precision, with the product's callbacks, and what in it waits for the device."""

import warnings
from collections import Counter
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from gpu.parts import SMALL, SMALL_TRANSFORMER, Setting, exact_float32, real_run, small_text
from gpu.report import Report
from seq2seq.data.batching import Batch

MODELS = {
    "Transformer": ["model=transformer", *SMALL_TRANSFORMER, "callbacks=ema"],
    "Bahdanau, GRU": ["model=bahdanau"],
    "Luong, LSTM": ["model=luong", "optimizer=muon"],
}
NO_VALIDATION = ["trainer.limit_val_batches=0", "trainer.log_every_n_steps=1000", "callbacks.early_stopping=null"]
FIRST_QUIET, LAST_QUIET = 6, 14
"""Steps between which nothing may wait for the device: what is made once has been made, no scalar is written."""


class Losses(Callback):
    """The loss of each step a target token, left on the device until the end."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def on_train_batch_end(self, _: lightning.Trainer, __: Any, outputs: Any, batch: Batch, ___: int) -> None:
        """Keep it."""
        self.found.append(outputs["loss"].detach() / batch.num_tokens)

    def values(self) -> list[float]:
        """Return them on the host."""
        return [loss.item() for loss in self.found]


class Waits(Callback):
    """Where the host waits for the device, in the steps between two."""

    def __init__(self) -> None:
        self.places: Counter[str] = Counter()
        self._catch: warnings.catch_warnings | None = None
        self._caught: list[warnings.WarningMessage] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Begin or end to listen: from the end of one step to the end of another, with the loader and all hooks."""
        if trainer.global_step == FIRST_QUIET:
            self._catch = warnings.catch_warnings(record=True)
            self._caught = self._catch.__enter__() or []
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        elif trainer.global_step == LAST_QUIET and self._catch is not None:
            torch.cuda.set_sync_debug_mode("default")
            self._catch.__exit__(None, None, None)
            for warning in self._caught:
                if "synchroniz" in str(warning.message):
                    self.places[f"{'/'.join(warning.filename.split('/')[-3:])}:{warning.lineno}"] += 1


def run(setting: Setting, report: Report) -> None:
    """Train a few steps of each kind; the losses are those of float32."""
    exact_float32()
    on_gpu = setting.device.type == "cuda"
    text = small_text(setting.folder / "text", 800 if on_gpu else 100)  # no epoch is to end while one listens
    precisions = ["bf16-mixed", "16-mixed"] if on_gpu else ["bf16-mixed"]
    steps = 40 if on_gpu else 4
    models = dict(list(MODELS.items())[: None if on_gpu else 1])
    for name, overrides in models.items():
        exact, _ = train(name, [*text, *overrides, "trainer.precision=32-true"], steps, setting, report, waits=on_gpu)
        for precision in precisions:
            losses, run_ = train(
                f"{name}, {precision}", [*text, *overrides, f"trainer.precision={precision}"], steps, setting, report,
                waits=precision == "bf16-mixed" and on_gpu,
            )  # fmt: skip
            scaler = getattr(run_.trainer.precision_plugin, "scaler", None)
            scale = None if scaler is None else scaler.get_scale()
            apart = abs(losses[-1] - exact[-1])
            cells = {"model": name, "precision": precision, "steps": steps, "loss": losses[-1], "in float32": exact[-1]}
            report.row("Precision: loss a token at the end", cells | {"scale": scale})
            # With a loss scale the first steps are given up until the scale fits.
            limit = 0.5 if scale is not None else 0.2
            report.check(
                f"{name}, {precision}: learns as float32 does", apart < limit, f"{losses[-1]:.3f} : {exact[-1]:.3f}"
            )
            if precision == "16-mixed":
                report.check(f"{name}, 16-mixed: has a loss scale", bool(scale), f"{scale}")


def train(
    name: str, overrides: list[str], steps: int, setting: Setting, report: Report, *, waits: bool
) -> tuple[list[float], Any]:
    """Train a few steps, and check that they are sound; return the loss of each, and the run."""
    losses, waiting = Losses(), Waits()
    options = [*SMALL, *NO_VALIDATION, f"trainer.max_steps={steps}", "trainer.max_epochs=-1", "optimizer.lr=0.003"]
    rise = "scheduler.scheduler.warmup_steps=4"
    place = setting.folder / "precision" / name.replace(", ", "-").replace(" ", "-")
    run_ = real_run([*overrides, *options, rise], place, setting, losses, *([waiting] if waits else []))
    run_.trainer.fit(run_.module, datamodule=run_.data)
    values = losses.values()
    finite = all(value == value and abs(value) < 1e3 for value in values)
    report.check(f"{name}: trains", finite and len(values) == steps, f"loss {values[0]:.3f} to {values[-1]:.3f}")
    if waits:
        found = ", ".join(f"{place} {count}×" for place, count in waiting.places.most_common(8))
        between = f"steps {FIRST_QUIET + 1} to {LAST_QUIET}"
        report.check(f"{name}: nothing waits for the device in {between}", not waiting.places, found or "nothing")
    return values, run_
