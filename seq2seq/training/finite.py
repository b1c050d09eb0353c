"""A loss that is not finite: where it comes from, and the batch to replay it with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from seq2seq.errors import UserError
from seq2seq.training.module import TranslationModule


class FiniteLoss(Callback):
    """Stops a training whose loss is NaN or infinite, before that batch changes the weights.

    Names the step and the first module whose output is not finite, and leaves `nonfinite-step-N.ckpt`: a checkpoint
    with the weights before the step, and the batch.

    Args:
        folder: where that goes.
        every_n_steps: how often to look. null: on a CPU at every step, elsewhere as often as scalars are logged, since
            a look waits for the device; resumed with 1, a run comes to the very step.
    """

    def __init__(self, *, folder: str, every_n_steps: int | None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise UserError(f"callbacks.finite.every_n_steps={every_n_steps} must be above 0, or null")
        self.folder = Path(folder)
        self.every_n_steps = every_n_steps

    def on_before_backward(self, trainer: lightning.Trainer, module: lightning.LightningModule, loss: Tensor) -> None:
        """Look at the loss."""
        assert isinstance(module, TranslationModule) and module.batch is not None
        # A connector sets `log_every_n_steps`, which the class does not declare.
        rare = 1 if loss.device.type == "cpu" else trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % (self.every_n_steps or rare) or bool(loss.isfinite()):
            return
        step, batch = trainer.global_step, module.batch
        module.on_train_batch_start(batch, trainer.fit_loop.batch_idx)  # the same dropout again
        with trainer.precision_plugin.train_step_context():
            place = first_not_finite(module, lambda: module.training_step(batch, 0))
        file = self.folder / f"nonfinite-step-{step}-rank-{trainer.global_rank}.ckpt"
        content: dict[str, Any] = {"state_dict": module.state_dict(), "global_step": step}
        module.on_save_checkpoint(content)
        content["batch"] = {field.name: getattr(batch.to("cpu"), field.name) for field in fields(batch)}
        torch.save(content, file)
        raise UserError(
            f"step {step}: the loss is {loss.item()}, {place}; weights and batch are in {file} (python "
            f"scripts/replay_batch.py {file}); lower optimizer.lr or trainer.gradient_clip_val"
        )


def first_not_finite(module: nn.Module, run: Callable[[], object]) -> str:
    """Return which part of a module is not finite first when it runs, in words."""
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            return f"as the weights {name} are not finite since an earlier step"
    names: list[str] = []

    def see(name: str, tensors: list[Tensor]) -> None:
        if not all(bool(tensor.isfinite().all()) for tensor in tensors):
            names.append(name)

    with each_output(module, see), torch.no_grad():
        run()
    return f"first in the output of {names[0]}" if names else "while every module's output is finite"


@contextmanager
def each_output(module: nn.Module, see: Callable[[str, list[Tensor]], None]) -> Iterator[None]:
    """Call `see` with the name of each part of a module and the floating-point tensors it returns, as they come."""

    def hook(name: str, _: nn.Module, __: Any, output: Any) -> None:
        see(name, [leaf for leaf in tree_leaves(output) if torch.is_tensor(leaf) and leaf.is_floating_point()])

    handles = [part.register_forward_hook(partial(hook, name)) for name, part in module.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
