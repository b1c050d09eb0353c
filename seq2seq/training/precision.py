"""In which precision to train: what the device does well, and what it cannot do.

Measured on one core, products of the shapes of a model and its loss in bfloat16, against float32 at 65 to 97 GFLOP/s:
170 to 210 with AVX512-BF16 (Zen 4), 32 to 38 where AVX-512 only imitates it, 6 to 20 and on older processors 1 to 2
with AVX2. So one small product tells them apart, and names of processors need not be known. Where it is 1.8 times as
fast, the conversions counted (Zen 4), a training step of the Multi30k Transformer is 1.35 times as fast, one of the
Luong LSTM 1.8 times.
"""

import math
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch

from seq2seq.errors import UserError
from seq2seq.models.recurrent import lstm_runs_in

AUTO = "auto"
EXACT = "32-true"
"""What runs on any device."""

INFERENCE = ("float32", "bfloat16")
"""What the weights of a model may be in that is only used."""

FASTER = 1.4
"""How many times as fast a product must be for a training to gain, whose other parts do not."""

SLOW = 0.8
"""Below this a choice of bfloat16 is warned of."""


class Precision(NamedTuple):
    """What a run takes, as Lightning calls it, and a line for its user: why, or what is the matter with it."""

    value: str
    reason: str = ""
    warning: str = ""


def choose_precision(
    asked: str,
    accelerator: str,
    *,
    lstm: bool = False,
    stored: str | None = None,
    speed: Callable[[], float] | None = None,
) -> Precision:
    """Return the precision of a run.

    Args:
        asked: a word of Lightning's, or `auto`: bf16-mixed where the device has bfloat16 and gains by it, else 32-true.
        accelerator: Lightning's word: `auto`, `gpu`, or the type of a device, such as `cpu` or `cuda`.
        lstm: whether the model has one.
        stored: that of the run which is gone on with. `auto` keeps it, unless it is slow or impossible here: such a
            run may have begun on another machine, so it goes on in 32-true instead.
        speed: of bfloat16 on the CPU; by default it is measured.

    Raises:
        UserError: a run that begins is to have one that cannot train here.
    """
    device, speed = device_of(accelerator), speed or bfloat16_speed
    wanted = stored if stored and asked == AUTO else asked
    if wanted == AUTO:
        return _fastest(device, speed)
    problem = _problem(wanted, device, lstm=lstm)
    if problem and stored is None:
        raise UserError(f"trainer.precision={wanted}: {problem}; say trainer.precision=auto, which takes what suits")
    if problem:
        return Precision(EXACT, warning=f"trainer.precision={wanted}: {problem}; the run goes on in {EXACT}")
    slow = _slow(wanted, device, speed)
    if slow and asked == AUTO:
        return Precision(EXACT, warning=f"trainer.precision={wanted}: {slow}; the run goes on in {EXACT}")
    if slow:
        return Precision(wanted, warning=f"trainer.precision={wanted}: {slow}; trainer.precision=auto takes {EXACT}")
    return Precision(wanted, "as the run was begun" if asked == AUTO else "")


def choose_inference(asked: str, device: str, *, speed: Callable[[], float] | None = None) -> Precision:
    """Return the precision of the weights of a model that is only used, as PyTorch calls it.

    Args:
        asked: `float32`, `bfloat16`, or `auto`: bfloat16 where the device has it and is faster in it.
        device: the type of a device, such as `cpu` or `cuda`.
        speed: of bfloat16 on the CPU; by default it is measured.

    Raises:
        UserError: there is no such precision.
    """
    if asked not in (*INFERENCE, AUTO):
        raise UserError(f"precision={asked} is not known; use {', '.join(INFERENCE)} or {AUTO}")
    speed = speed or bfloat16_speed
    if asked == AUTO:
        found = _fastest(device, speed)
        value = INFERENCE[found.value != EXACT]
        return Precision(value, f"precision={value}: {found.reason}")
    slow = _slow("bf16", device, speed) if asked == "bfloat16" else None
    return Precision(asked, warning=f"precision={asked}: {slow}; precision=auto takes float32" if slow else "")


def device_of(accelerator: str) -> str:
    """Return the type of the device that Lightning's word means here, such as `cpu` or `cuda`."""
    if accelerator not in ("auto", "gpu"):
        return accelerator
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found else {"auto": "cpu", "gpu": "cuda"}[accelerator]


def _fastest(device: str, speed: Callable[[], float]) -> Precision:
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bf16-mixed", "the GPU has bfloat16")
        return Precision(EXACT, "the GPU has no bfloat16")
    if device != "cpu":
        return Precision(EXACT, f"bfloat16 is untried on {device}")
    reason = f"a product in bfloat16 is {speed():.2g} times as fast as in float32 here"
    return Precision("bf16-mixed" if speed() >= FASTER else EXACT, reason)


def _problem(precision: str, device: str, *, lstm: bool) -> str | None:
    """Return why a model cannot be trained in a precision on a device, or None."""
    if precision == "16-true":
        return "squares of small gradients are 0 in float16, and Adam divides by them: a small model was nan in 4 steps"
    if precision == "16-mixed" and device == "cpu":
        return "this is for a GPU; a CPU has bf16-mixed"
    if precision == "64-true" and device == "mps":
        return "this device has no float64"
    if precision == "bf16-mixed" and device == "cpu" and lstm and not lstm_runs_in(torch.bfloat16):
        return "this processor cannot run an LSTM in bfloat16"
    return None


def _slow(precision: str, device: str, speed: Callable[[], float]) -> str | None:
    """Return that a precision is slow on a device, in words, or None."""
    if not precision.startswith("bf16"):
        return None
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "slow, since the GPU has no bfloat16"
    if device == "cpu" and speed() < SLOW:
        return f"slow, since a product in bfloat16 takes {1 / speed():.2g} times as long as in float32 here"
    return None


@cache
def bfloat16_speed() -> float:
    """Return how many times as fast a product is in bfloat16 as in float32 on one core; measured once, in 0.03 s.

    On one thread: several wait for each other after so small a product, and for any other work on their cores, longer
    than they compute.
    """
    rows, weight = torch.ones(256, 128), torch.ones(512, 128)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return relative_speed(lambda: rows @ weight.T, lambda: rows.bfloat16() @ weight.bfloat16().T)
    finally:
        torch.set_num_threads(threads)


def relative_speed(
    one: Callable[[], object],
    other: Callable[[], object],
    *,
    rounds: int = 40,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return how many times as fast the other is as the one, each by the shortest of its calls, made in turns.

    So other work on the machine, which makes some calls longer, changes little. Where the other is clearly slower, a
    few calls are enough.
    """
    one(), other()  # kernels are compiled at the first call
    best = [math.inf, math.inf]
    for number in range(rounds):
        for i, call in enumerate((one, other)):
            start = clock()
            call()
            best[i] = min(best[i], clock() - start)
        if number >= 4 and best[1] > 3 * best[0]:
            break
    return best[0] / best[1]
