"""Settings that are right alone, but not on this machine, or not with the data and the model."""

from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch.accelerators import Accelerator, CUDAAccelerator, MPSAccelerator, XLAAccelerator
from torch import nn

from seq2seq.errors import UserError
from seq2seq.models.encoder_decoder import cross_attentions

DEVICES: dict[str, type[Accelerator]] = {"cuda": CUDAAccelerator, "mps": MPSAccelerator, "tpu": XLAAccelerator}
"""Kinds of devices beside the CPU; the first that is here is what `auto` means."""

OF_LINKS = ("val/aer", "val/aer_argmax")
OF_ATTENTION = (*OF_LINKS, "val/entropy", "val/sink_mass", "val/nowhere")
"""Scores that a run has only with word links, or only with attention."""

MORE_IS_BETTER: dict[str, bool | None] = {
    "train/target_tokens_per_second": True,
    "train/seconds": False,
    "train/peak_memory_mib": False,
    "parameters": False,
    "val/bleu": True,
    "val/chrf": True,
    "val/token_accuracy": True,
    "val/sentences_per_second": True,
    "val/loss": False,
    "val/perplexity": False,
    "val/ter": False,
    "val/aer": False,
    "val/aer_argmax": False,
    "val/entropy": None,
    "val/sink_mass": None,
    "val/nowhere": None,
}
"""Figures of a run by which something may be chosen, None where neither is better; none is of a test set."""


def check_devices(accelerator: str, devices: Any) -> None:
    """Check that Lightning's `accelerator` and `devices` can be had here.

    Raises:
        UserError: they cannot; it names the key and what can.
    """
    here = [name for name, kind in DEVICES.items() if kind.is_available()]
    meant = {"auto": [*here, "cpu"], "cpu": ["cpu"], "gpu": [name for name in here if name != "tpu"]}
    found = meant.get(accelerator, [name for name in here if name == accelerator])
    if not found:
        raise UserError(
            f"trainer.accelerator={accelerator}: there is none here; use trainer=cpu, or trainer=auto, which takes a "
            "GPU where there is one"
        )
    text = str(devices)
    if found[0] == "cpu":
        if text != "auto" and not (text.isdecimal() and int(text) > 0):
            raise UserError(
                f"trainer.devices={devices}: on a CPU, give the number of processes, such as trainer.devices=1"
            )
        return
    there = DEVICES[found[0]].auto_device_count()
    numbers = [int(number) for number in text.strip("[]").split(",")] if "," in text or "[" in text else []
    if max(numbers, default=0) >= there or (text.isdecimal() and int(text) > there):
        raise UserError(
            f"trainer.devices={devices}: {found[0]} devices here: {there}, numbered from 0; say trainer.devices=-1 for "
            "all of them"
        )


def check_monitors(watchers: Mapping[str, Any], model: nn.Module, links: Iterable[str]) -> list[str]:
    """Check that what callbacks and the schedule watch is going to be there.

    Args:
        watchers: options with `monitor`, and perhaps `mode`, by their key.
        model: an encoder-decoder.
        links: of the validation set, a text a pair.

    Returns:
        Doubts, a line each: a score is watched for the worse.

    Raises:
        UserError: something watches a score that this run has not.
    """
    doubts = []
    attends = bool(cross_attentions(model))
    for key, options in watchers.items():
        metric, mode = options.get("monitor"), options.get("mode")
        remedy = "watch another, such as val/bleu"
        if metric in OF_ATTENTION and not attends:
            raise UserError(f"{key}.monitor={metric}: a model without attention has no such score; {remedy}")
        if metric in OF_LINKS and not any(links):
            raise UserError(
                f"{key}.monitor={metric}: the validation data have no word links; give data.val.links=FILE, or {remedy}"
            )
        better = {True: "max", False: "min", None: mode}[MORE_IS_BETTER.get(str(metric))]
        if mode is not None and mode != better:
            doubts.append(f"{key}.mode={mode}: this takes the worst {metric} for the best; give {key}.mode={better}")
    return doubts
