"""The optimizer and the schedule of a training, made for its length; what cannot go together is refused or said."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning
from torch import Tensor
from torch.optim import Optimizer

from seq2seq.errors import UserError

log = logging.getLogger(__name__)


def optimizer_and_schedule(
    learning: Iterable[tuple[str, Tensor]],
    make_optimizer: Callable[..., Optimizer],
    scheduler: Mapping[str, Any],
    trainer: lightning.Trainer,
) -> dict[str, Any]:
    """Return what Lightning's `configure_optimizers` returns.

    Args:
        learning: named parameters that are trained.
        make_optimizer: called with them.
        scheduler: Lightning's scheduler options, whose `scheduler` is called with the optimizer.
        trainer: which knows how long the training is.

    Raises:
        UserError: a class refuses its settings; the schedule needs the last step, which is not known; or it looks at
            validations, and is to be asked at every step.
    """
    optimizer = _made("optimizer", make_optimizer, learning)
    options = dict(scheduler)
    make_scheduler = options["scheduler"]
    by_epoch = options.get("interval") == "epoch"
    if options.get("monitor"):  # looks at a validation, so as often as there is one
        if not by_epoch:
            raise UserError("scheduler.interval=step: this schedule looks at validations; say scheduler.interval=epoch")
        options["frequency"] = trainer.check_val_every_n_epoch or 1
    length = (trainer.max_epochs if by_epoch else trainer.estimated_stepping_batches) or -1
    known = 0 <= length < math.inf  # else what Lightning says where it cannot know
    if make_scheduler.keywords.get("total_steps", 0) is None:
        if not known:
            raise UserError(
                "this schedule falls until the last step, which is not known: "
                "set trainer.max_steps, or scheduler.scheduler.total_steps"
            )
        make_scheduler.keywords["total_steps"] = int(length) + 1  # the last step learns, too
    if known:
        _warn_of_edges(make_scheduler.keywords, int(length))
    options["scheduler"] = _made("scheduler.scheduler", make_scheduler, optimizer)
    return {"optimizer": optimizer, "lr_scheduler": options}


def _made(key: str, make: Callable[..., Any], *given: Any) -> Any:
    """Return what is made by a class of PyTorch's or of the user's, whose own checks do not know our keys."""
    try:
        return make(*given)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        settings = ", ".join(f"{key}.{name}={value}" for name, value in getattr(make, "keywords", {}).items())
        raise UserError(f"{key}: {error or type(error).__name__} ({settings})") from error


def _warn_of_edges(options: Mapping[str, Any], steps: int) -> None:
    """Say where a schedule and the length of the training do not go together."""
    warmup, total = options.get("warmup_steps") or 0, options.get("total_steps")
    if warmup > steps:
        log.warning(
            "scheduler.scheduler.warmup_steps=%s: the training has %s steps, so the rate never rises to optimizer.lr",
            warmup,
            steps,
        )
    if total is not None and total <= steps:
        log.warning(
            "scheduler.scheduler.total_steps=%s: the training has %s steps, and from that one on the rate is 0",
            total,
            steps,
        )
