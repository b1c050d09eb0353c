"""The checkpoint from which a run goes on as if it had never stopped, and the events files that belong to it."""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO

from seq2seq.checkpoint import LAST, PREVIOUS
from seq2seq.checkpoint_writing import save_whole
from seq2seq.data.batching import Batch
from seq2seq.errors import Interrupted, UserError, interrupt
from seq2seq.training.attached import callbacks_of, data_of
from seq2seq.training.loggers import flushed_files

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""At which a training saves and stops, whatever listened to them before."""

WHERE_NOBODY_LISTENS = (signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU)
"""Likewise, where they would kill: not under nohup, nor a launcher that listens itself. SIGQUIT kills at once."""

AGREE_EVERY = 10
"""Steps after which several processes ask each other whether to stop or to save."""


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it when it is whole; keeps the last one's predecessor."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it; raises UserError as `save_whole`."""
        save_whole(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, *given: Any, **options: Any) -> dict[str, Any]:
        """Read it; what it says of the best checkpoints is taken for files beside it, wherever the run was moved."""
        content = super().load_checkpoint(path, *given, **options)
        folder = Path(os.path.realpath(Path(path).parent))
        for name, state in content.get("callbacks", {}).items():
            if name.startswith("ModelCheckpoint"):
                _bring_beside(state, folder)
        return content


def _bring_beside(state: dict[str, Any], folder: Path) -> None:
    """Make a ModelCheckpoint's paths those of checkpoints in a folder: Lightning removes what they name."""

    def beside(path: str) -> str:
        name = Path(path).name
        return str(folder / name) if name.endswith(".ckpt") and name not in (LAST, PREVIOUS) else ""

    state["dirpath"] = str(folder)
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = beside(str(state.get(name, "")))
    scores = state.get("best_k_models", {}).items()
    state["best_k_models"] = {beside(str(path)): score for path, score in scores if beside(str(path))}


class LastCheckpoint(Callback):
    """Keeps `last.ckpt` and its predecessor `previous.ckpt`.

    A resumed run ends with the weights, the optimizer's state, the metrics and the curves of one that never stopped.
    So the checkpoint is taken between two steps, when all that belongs to the earlier one is done, or just before a
    validation, which a resumed run makes then: Lightning's own, written after it, would lose what a schedule learns
    from it. Besides it is written every so often, in the end, and when a signal asks the process to stop: Ctrl-C,
    SIGTERM or SIGUSR1 on pre-emption, SIGHUP from a terminal that is closed; then the training stops. It has to be the
    first of the callbacks: what others log at the start of a step belongs to that step.

    Args:
        folder: where it is kept.
        every_n_steps: null: not by steps.
        every_n_minutes: null: not by time.
    """

    def __init__(self, *, folder: str, every_n_steps: int | None, every_n_minutes: float | None) -> None:
        for name, value in (("every_n_steps", every_n_steps), ("every_n_minutes", every_n_minutes)):
            if value is not None and value <= 0:
                raise UserError(f"callbacks.last.{name}={value} must be above 0, or null for never")
        self.path = Path(folder) / LAST
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self._saved_at = time.monotonic()
        self._signal: int | None = None
        self._stopped_early = False
        self._patience: list[tuple[EarlyStopping, int]] = []
        self._metrics: dict[str, float] = {}
        self._place = ""  # while it is being written: before a step, before a validation
        self._events: dict[str, int] = {}

    def setup(self, trainer: lightning.Trainer, _: lightning.LightningModule, stage: str) -> None:
        """Note the patience that was asked for: Lightning takes that of the checkpoint in its place."""
        self._patience = [(stopper, stopper.patience) for stopper in _stoppers(trainer)]

    def on_fit_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Do not go on where the training had been stopped early, unless more patience is asked for now."""
        for stopper, patience in self._patience:
            stopper.patience = patience
        self._stopped_early = self._stopped_early and _out_of_patience(trainer)
        trainer.should_stop = self._stopped_early

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Listen to signals from now on, in Lightning's place, which would stop in the middle of a step."""
        self._saved_at = time.monotonic()
        self._signal = signal.SIGTERM if trainer.received_sigterm else None
        if threading.current_thread() is threading.main_thread():
            self._listen()
        trainer._logger_connector._callback_metrics.update(  # what a schedule may look at before the next validation
            {name: torch.tensor(value) for name, value in self._metrics.items()}
        )
        loop = trainer.fit_loop.epoch_loop
        if loop.restarting and not loop.val_loop.restarted_mid_evaluation:
            assert trainer.fit_loop._data_fetcher is not None
            if loop._should_check_val_fx(trainer.fit_loop._data_fetcher):
                loop._batches_that_stepped -= 1  # Lightning is going to pass over a step without making it

    def _listen(self) -> None:
        nobody = (signal.SIG_DFL, interrupt)  # who would not save
        unheard = [number for number in WHERE_NOBODY_LISTENS if signal.getsignal(number) in nobody]
        for number in (*SIGNALS, *unheard):  # Lightning brings back what was there before, however the training ends
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self._signal == signal.SIGINT:
            raise KeyboardInterrupt  # the second Ctrl-C
        self._signal = number

    def on_train_batch_start(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, __: Any, index: int
    ) -> None:
        """Save if it is time, and stop if that was asked for; never within a step that accumulates batches."""
        if index % trainer.accumulate_grad_batches:
            return
        asked = self._agreed(trainer, index, self._signal is not None)
        minutes = (time.monotonic() - self._saved_at) / 60
        timely = self.every_n_minutes is not None and minutes >= self.every_n_minutes
        step = trainer.global_step
        due = self.every_n_steps is not None and step > 0 and step % self.every_n_steps == 0
        if asked or due or self._agreed(trainer, index, timely):
            self._save(trainer, "step")
        if asked:
            raise Interrupted(self._signal or signal.SIGTERM, f"step {step}")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, __: Any, batch: Batch, ___: int
    ) -> None:
        """Note the place in the data."""
        data_of(trainer).took(batch)

    def on_validation_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Save what is about to be validated; never within a step of several batches: their gradients are not kept."""
        if not trainer.sanity_checking and not trainer.fit_loop.epoch_loop._should_accumulate():
            self._save(trainer, "validation")

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stop if that was asked for; of several processes one alone must not."""
        if self._signal is not None and trainer.world_size == 1:
            raise Interrupted(self._signal, f"the validation at step {trainer.global_step}")

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Let a schedule that looks at the validation do so in a resumed epoch, too: Lightning would pass it over."""
        trainer.fit_loop._restarting = False

    def on_train_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Save the end."""
        self._stopped_early = _out_of_patience(trainer)
        self._save(trainer, "end")

    def _agreed(self, trainer: lightning.Trainer, index: int, mine: bool) -> bool:
        """Return whether any process wants it; several processes ask each other now and then only."""
        if trainer.world_size == 1:
            return mine
        return index % AGREE_EVERY == 0 and trainer.strategy.reduce_boolean_decision(mine, all=False)

    def _save(self, trainer: lightning.Trainer, place: str) -> None:
        self._events |= {file.name: file.stat().st_size for file in flushed_files(trainer)}
        self._place = place
        try:
            trainer.save_checkpoint(self.path)
        finally:
            self._place = ""
        self._saved_at = time.monotonic()

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Make Lightning's counters say what is done, as they count a step or a validation that has only begun."""
        loops = checkpoint["loops"]["fit_loop"]
        if self._place == "step":
            progress = loops["epoch_loop.batch_progress"]
            progress["is_last_batch"] = False
            for counts in (progress["total"], progress["current"]):
                counts["ready"] = counts["completed"]
        elif self._place == "validation":  # of which, for Lightning, the first batch was begun
            total = loops["epoch_loop.val_loop.batch_progress"]["total"]
            total["ready"] = total["started"] = total["completed"] + 1

    def state_dict(self) -> dict[str, Any]:
        """Return what else goes on."""
        return {"events": self._events, "stopped_early": self._stopped_early, "metrics": self._metrics}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self._stopped_early, self._metrics = state["stopped_early"], state["metrics"]

    def on_validation_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Keep the scores."""
        self._metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name[:4] == "val/"}


def _stoppers(trainer: lightning.Trainer) -> list[EarlyStopping]:
    return [callback for callback in callbacks_of(trainer) if isinstance(callback, EarlyStopping)]


def _out_of_patience(trainer: lightning.Trainer) -> bool:
    return any(stopper.wait_count >= stopper.patience for stopper in _stoppers(trainer))


def rewind_events(files: list[Path], checkpoint: dict[str, Any]) -> None:
    """Take back what was logged after a checkpoint: a resumed run logs it again, and every curve stays one line."""
    states = checkpoint.get("callbacks", {})
    sizes = states.get(LastCheckpoint.__qualname__, {}).get("events", {})
    for file in files:
        if file.name in sizes:
            os.truncate(file, min(sizes[file.name], file.stat().st_size))
        else:
            file.unlink()
