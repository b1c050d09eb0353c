"""Whose vocabulary a training has that does not make its own: that of `begin_with`, or of `tokenizer.checkpoint`."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seq2seq.config_files import choices_of, file_of
from seq2seq.errors import UserError

SETTLED = ("vocab_size", "joint", "normalization")
"""Keys of a tokenizer that a vocabulary which is there has settled, beside its kind."""


def vocabulary_of(config: DictConfig) -> str | None:
    """Return the checkpoint whose vocabulary a training takes; None where it makes its own.

    Raises:
        UserError: there are two, or there is none to grow.
    """
    begin, other = config.begin_with, config.tokenizer.get("checkpoint")
    if begin is not None and other is not None:
        raise UserError(
            f"tokenizer.checkpoint={other}: begin_with={begin} brings its own vocabulary; leave one of them out"
        )
    if config.tokenizer.get("grow") and begin is None and other is None:
        raise UserError(
            "tokenizer.grow=true: there is no vocabulary to grow; give begin_with=FILE, or tokenizer.checkpoint=FILE"
        )
    return str(begin or other) if begin is not None or other is not None else None


def check_vocabulary(config: DictConfig, theirs: Mapping[str, Any], overrides: list[str], *, path: str) -> list[str]:
    """Return overrides that make a configuration say of its vocabulary what is true of the checkpoint's.

    Args:
        config: with the overrides.
        theirs: the configuration of the checkpoint.
        overrides: that were given.
        path: of the checkpoint.

    Raises:
        UserError: they ask for another vocabulary.
    """
    theirs = theirs.get("tokenizer", {})
    given = {override.partition("=")[0] for override in overrides}
    added = []
    kind = _choice(theirs)
    if kind is not None and kind != _choice(OmegaConf.to_container(config.tokenizer, resolve=True)):
        if given & {"tokenizer", "tokenizer.model_type"}:
            raise UserError(_settled(f"tokenizer={kind}", path))
        added.append(f"tokenizer={kind}")
    grows = bool(config.tokenizer.get("grow"))
    for key in SETTLED:
        if key not in theirs or config.tokenizer.get(key) == theirs[key] or (key == "vocab_size" and grows):
            continue
        if f"tokenizer.{key}" in given:
            raise UserError(_settled(f"tokenizer.{key}={_as_typed(theirs[key])}", path))
        added.append(f"tokenizer.{key}={_as_typed(theirs[key])}")
    return added


def _settled(what: str, path: str) -> str:
    return (
        f"the vocabulary is that of {path}, with {what}; leave that key out, "
        "or say tokenizer.grow=true and a larger tokenizer.vocab_size"
    )


def _choice(options: Any) -> str | None:
    """Return the file of the group `tokenizer` of which some options are; None: of none, such as a user's own."""
    for choice in choices_of("tokenizer"):
        file: Any = OmegaConf.to_container(OmegaConf.load(file_of("tokenizer", choice)))
        file = file.get("tokenizer", file)  # of one that sets other keys, too
        if all(file.get(key) == options.get(key) for key in ("_target_", "model_type")):
            return choice
    return None


def _as_typed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
