"""A run that was stopped and resumed beside one that never was, with deterministic algorithms: to the last bit?"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from gpu.parts import SMALL, SMALL_TRANSFORMER, Setting, real_run, small_text
from gpu.report import Report
from seq2seq.checkpoint import LAST, load_content
from seq2seq.errors import Interrupted

MODELS = {
    "Transformer": ["model=transformer", *SMALL_TRANSFORMER, "callbacks=ema"],
    "Bahdanau, GRU": ["model=bahdanau"],
    "Luong, LSTM": ["model=luong"],
    "Luong, LSTM, 2 layers": ["model=luong", "model.num_layers=2"],  # with cuDNN's own dropout between them
}


class Stop(Callback):
    """Sends this process the signal that stops a training, after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Send it."""
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def run(setting: Setting, report: Report) -> None:
    """Train twice as many steps at once and in two parts; compare weights and the optimizer's state."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before cuBLAS begins; without it nothing is exact
    on_gpu = setting.device.type == "cuda"
    half = 7 if on_gpu else 2
    text = small_text(setting.folder / "text", 400 if on_gpu else 100)
    for name, overrides in list(MODELS.items())[: None if on_gpu else 1]:
        for deterministic in (True, False) if on_gpu else (True,):
            options = [*text, *SMALL, *overrides, f"trainer.deterministic={str(deterministic).lower()}",
                       "trainer.limit_val_batches=0", "trainer.max_epochs=-1", "callbacks.early_stopping=null",
                       "trainer.precision=32-true" if setting.rehearsal else "trainer.precision=bf16-mixed",
                       f"trainer.max_steps={2 * half}"]  # fmt: skip
            place = setting.folder / "resume" / f"{name.replace(', ', '-').replace(' ', '-')}-{deterministic}"
            try:
                whole, again = (_end(options, place / name, setting) for name in ("whole", "again"))
                _end(options, place / "parts", setting, stop_at=half)
                parts = _end(options, place / "parts", setting, resume=True)
            except RuntimeError as error:  # an operation that has no deterministic algorithm
                report.check(f"{name}, deterministic={deterministic}: resumes", False, str(error).splitlines()[0])
                continue
            apart, chance = _apart(whole, parts), _apart(whole, again)
            found = f"largest difference of a weight {apart:.2g}; of two runs never stopped {chance:.2g}"
            if deterministic:
                report.check(f"{name}: resumed to the last bit", apart == 0, found)
            else:
                report.row("Resumed without deterministic algorithms", {"model": name, "found": found})


def _end(
    options: list[str], folder: Path, setting: Setting, *, stop_at: int | None = None, resume: bool = False
) -> dict[str, Any]:
    """Return the last checkpoint of a training, which is stopped by a signal or goes on with that checkpoint."""
    run_ = real_run(options, folder, setting, *([] if stop_at is None else [Stop(stop_at)]))
    last = folder / "checkpoints" / LAST
    with suppress(Interrupted):
        run_.trainer.fit(run_.module, datamodule=run_.data, ckpt_path=last if resume else None, weights_only=True)
    return load_content(last)


def _apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference between two checkpoints, of weights and of the optimizer's state."""

    def tensors(content: dict[str, Any]) -> list[torch.Tensor]:
        states = [state for optimizer in content["optimizer_states"] for state in optimizer["state"].values()]
        return [*content["state_dict"].values(), *(x for state in states for x in state.values() if torch.is_tensor(x))]

    pairs = zip(tensors(one), tensors(other), strict=True)
    return max((a.double().cpu() - b.double().cpu()).abs().max().item() for a, b in pairs)
