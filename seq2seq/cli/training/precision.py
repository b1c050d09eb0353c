"""On what and in which precision a run trains, settled before anything is written, and alike in all its processes."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from seq2seq.build_training import settle_precision
from seq2seq.options import composed
from seq2seq.training.precision import Precision
from seq2seq.training.settings import check_devices


def settle_here(config: DictConfig) -> Precision:
    """Return the precision in which a run that begins trains on this machine.

    Raises:
        UserError: devices or precision cannot be had here.
    """
    check_devices(config.trainer.accelerator, config.trainer.devices)
    return settle_precision(config)


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
