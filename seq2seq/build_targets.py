"""What the configuration of a checkpoint may name: parts of a model, and nothing else that can be imported."""

from collections.abc import Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from seq2seq.checkpoint import Checkpoint
from seq2seq.data.corpus import Corpus
from seq2seq.errors import UserError

LINKS = "seq2seq.alignment.words"
"""Where the link extractions are, which are functions."""

PARTS = ("seq2seq.attention.", "seq2seq.models.", "seq2seq.data.corpus.", "seq2seq.data.mixture.", f"{LINKS}.")
"""How names of parts begin."""


def check_targets(config: Any, checkpoint: Checkpoint) -> None:
    """Refuse to build from a checkpoint what is no part of a model: a checkpoint is data, and must run no code.

    A name is judged by where the thing was defined: `seq2seq.data.cache.os.mkdir` is not part of seq2seq.
    """
    if not isinstance(config, DictConfig | ListConfig):
        return
    keys: Any = config.keys() if isinstance(config, DictConfig) else range(len(config))
    for key in keys:
        if OmegaConf.is_interpolation(config, key):
            raise UserError(f"{checkpoint.path}: {key} in its configuration is no plain value, so it is not loaded")
        value: Any = config[key]
        if key == "_target_" and not _is_part(str(value), checkpoint.trusted):
            package = str(value).partition(".")[0]
            remedy = "" if package == "seq2seq" else f"; if it is code of yours: trusted=[{package}]"
            raise UserError(
                f"{checkpoint.path} asks for {value}, which is no part of a seq2seq model, so it is not loaded{remedy}"
            )
        check_targets(value, checkpoint)


def _is_part(target: str, trusted: Sequence[str]) -> bool:
    """Return whether a name is that of a module, a corpus or a link extraction of this or of a trusted package."""
    packages = ("seq2seq.", *(f"{package}." for package in trusted))
    if not target.startswith((*PARTS, *packages[1:])):  # to look for a name is to import modules
        return False
    try:
        found = get_object(target)
    except (ImportError, ValueError, AttributeError):
        return False
    home = f"{getattr(found, '__module__', '')}."
    made = isinstance(found, type) and issubclass(found, nn.Module | Corpus)
    return home.startswith(packages) and (made or home == f"{LINKS}." or not home.startswith("seq2seq."))
