"""Whether a configuration is that of an earlier run: what `resume=` may not change, and what it may."""

import math
import os
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from seq2seq.build_training import settle_precision
from seq2seq.cli.keys.shorthand import group_of
from seq2seq.config_files import config_folder
from seq2seq.data.text import EARLIER
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults
from seq2seq.training.precision import AUTO

OWN = ("resume", "output", "logger")
"""Keys by which nobody tells two runs apart: where they are, and where they are shown."""

FIXED = (
    "data",
    "tokenizer",
    "model",
    "encoder",
    "decoder",
    "score",
    "normalizer",
    "cross_pattern",
    "optimizer",
    "scheduler",
    "seed",
    "begin_with",
    "freeze",
    "noise",
    "training.label_smoothing",
    "training.r_drop",
    "training.guided_alignment",
    "training.coverage",
    "callbacks.ema",
    "callbacks.best.monitor",
    "callbacks.best.mode",
    "search",
    "links",
    "reading",
    "metrics",
)
"""Keys in which it may not: its checkpoint would be another model, of other data, or learn something else from there
on; or the averaged weights and the best score that it holds would be lost, or be of something else."""

FREE = "total_steps"
"""Key of a schedule in which it may: a run that is trained on for longer falls for longer."""


WHOLE = ("experiment=", "debug=")
"""Groups that are no key of a configuration."""


def check_same_model(config: DictConfig, folder: Path, groups: list[str]) -> None:
    """Refuse to go on with a run under settings that are `FIXED` and differ from its own."""
    ours, theirs = _plain(config, folder / "config.yaml", groups)
    for key in FIXED:
        if _part(ours, key) != _part(theirs, key):
            raise UserError(
                f"resume={folder}: {key} is not what that run was started with (see {folder}/config.yaml); "
                "give the overrides that it was given"
            )


def same(config: DictConfig, path: Path, groups: list[str]) -> bool:
    """Return whether the run that wrote a config.yaml was started with this configuration, here or elsewhere."""
    try:
        ours, theirs = _plain(config, path, groups)
        stored = theirs["trainer"]["precision"]
        if config.trainer.precision == AUTO or settle_precision(config, stored=stored).value == stored:
            ours["trainer"]["precision"] = stored  # what that run took, or came to where it could not be had
    except (UserError, KeyError, TypeError):
        return False
    return {k: v for k, v in ours.items() if k not in OWN} == {k: v for k, v in theirs.items() if k not in OWN}


def longer(config: DictConfig, path: Path, groups: list[str]) -> bool:
    """Return whether a configuration trains for longer than the stored one."""
    ours, theirs = (plain["trainer"] for plain in _plain(config, path, groups))
    raised = any(_limit(ours[key]) > _limit(theirs[key]) for key in ("max_epochs", "max_steps"))
    return raised or ours["max_time"] != theirs["max_time"]


def as_earlier(ours: dict[Any, Any], theirs: Any) -> None:
    """Take out of our configuration the normalisation, where a run of an earlier version does not name its own.

    It goes on with the tokenizers of its checkpoint, so the default of today changes nothing; another choice stays.
    """
    tokenizer = theirs.get("tokenizer")
    if not isinstance(tokenizer, dict) or "normalization" in tokenizer:
        return
    choices = (config_folder() / "tokenizer").glob("*.yaml")
    usual = {OmegaConf.select(OmegaConf.load(choice), "normalization") for choice in choices}
    if ours["tokenizer"].get("normalization") in {*usual, EARLIER}:
        del ours["tokenizer"]["normalization"]


def _plain(config: DictConfig, path: Path, groups: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return this configuration, as if it were of the same folder, and the stored one, both as plain data.

    What the stored one, of an earlier version, does not name is left out where it is as usual.
    """
    try:
        theirs = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        assert isinstance(theirs, dict)
        config.output = theirs["output"]
    except Exception:  # whatever a YAML reader makes of broken bytes
        raise UserError(f"{path} is missing or damaged; it says what to go on with: start the run anew") from None
    ours = OmegaConf.to_container(config, resolve=True)
    assert isinstance(ours, dict)
    as_earlier(ours, theirs)
    begins = [ours.get("begin_with"), theirs.get("begin_with")]
    if None not in begins and len({os.path.realpath(str(path)) for path in begins}) == 1:
        ours["begin_with"] = theirs["begin_with"]  # one file by two names
    known = [o for o in groups if o.startswith(WHOLE) or _has(theirs, group_of(o.partition("=")[0])[1])]
    _leave_out_new(ours, theirs, OmegaConf.to_container(compose_defaults("train", known), resolve=False))
    return {str(k): v for k, v in ours.items()}, {str(k): v for k, v in theirs.items()}


def _part(plain: dict[str, Any], key: str) -> Any:
    """Return what stands at a key with dots; None where there is nothing."""
    value: Any = plain
    for step in key.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if key == "scheduler" and isinstance(value, dict) and isinstance(value.get("scheduler"), dict):
        return value | {"scheduler": {name: x for name, x in value["scheduler"].items() if name != FREE}}
    return value


def _limit(value: int | None) -> float:
    """Return a number of epochs or steps as Lightning means it: without one, and at -1, there is no limit."""
    return math.inf if value in (None, -1) else value


def _has(config: dict[Any, Any], key: str) -> bool:
    return OmegaConf.select(OmegaConf.create(config), key) is not None


def _leave_out_new(ours: dict[Any, Any], theirs: dict[Any, Any], usual: Any) -> None:
    """Take out of our configuration the keys that theirs does not have and that are as usual."""
    for key, value in list(ours.items()):
        default = usual.get(key) if isinstance(usual, dict) else None
        if key not in theirs:
            if value == default:
                del ours[key]
        elif isinstance(value, dict) and isinstance(theirs[key], dict):
            _leave_out_new(value, theirs[key], default)
        elif key == "_target_" and _has_moved(theirs[key], value):
            ours[key] = theirs[key]


def _has_moved(earlier: str, now: str) -> bool:
    """Return whether two names of ours are of one thing."""
    ours = all(name.startswith("seq2seq.") for name in (earlier, now))
    return ours and earlier != now and get_object(earlier) is get_object(now)
