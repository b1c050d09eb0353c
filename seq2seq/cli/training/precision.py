"""On what and in which precision a run trains, settled before anything is written, and alike in all its processes."""

import os
import shutil
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from seq2seq.build_training import settle_precision
from seq2seq.errors import UserError
from seq2seq.options import composed
from seq2seq.training.precision import Precision, device_of
from seq2seq.training.settings import check_devices


def settle_here(config: DictConfig) -> Precision:
    """Return the precision in which a run that begins trains on this machine.

    Raises:
        UserError: devices or precision cannot be had here.
    """
    check_machine(config)
    return settle_precision(config)


def check_machine(config: DictConfig) -> None:
    """Check that what a run asks of this machine is here.

    Raises:
        UserError: it has not such devices, or no compiler for `training.compile`.
    """
    check_devices(config.trainer.accelerator, config.trainer.devices)
    if config.training.compile:
        _check_compiler(device_of(config.trainer.accelerator))


def _check_compiler(device: str) -> None:
    """Check that PyTorch finds the compiler that it looks for; of other devices nothing is known."""
    usual = {
        "cpu": ("C++", "CXX", ["clang++" if sys.platform == "darwin" else "g++"]),
        "cuda": ("C", "CC", ["gcc", "clang", "cc"]),
    }
    language, variable, names = usual.get(device, ("", "", []))
    names = [os.environ[variable]] if os.environ.get(variable) else names
    if names and not any(map(shutil.which, names)):
        raise UserError(
            f"training.compile=true needs a {language} compiler, and there is no {' or '.join(names)} on the path; "
            f"install one, name one by {variable}=FILE before the command, or leave training.compile out"
        )


def settled(overrides: list[str]) -> tuple[list[str], Precision]:
    """Return overrides that name the precision in which a run trains here, and that precision with the reason.

    Args:
        overrides: of one run, quoted, without options; with the folder where it goes on.

    Raises:
        UserError: they ask for one that cannot train here.
    """
    config = composed("train", tuple(overrides))
    stored = None
    if config.resume:
        stored = OmegaConf.select(OmegaConf.load(Path(config.hydra.run.dir) / "config.yaml"), "trainer.precision")
    precision = settle_precision(config, stored=stored)
    if precision.value == config.trainer.precision:
        return overrides, precision
    return [*overrides, f"trainer.precision={precision.value}"], precision
