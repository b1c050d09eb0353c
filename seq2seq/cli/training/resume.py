"""Which earlier run `resume=` means."""

import glob
import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from seq2seq.build_training import settle_precision
from seq2seq.checkpoint import LAST, PREVIOUS, load_content, read_checkpoint
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import group_of
from seq2seq.config_files import config_folder, group_names
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.data.text import EARLIER
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.units import tokenizer_of
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults
from seq2seq.training.precision import AUTO

log = logging.getLogger(__name__)

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
    "seed",
    "freeze",
)
"""Keys in which it may not: its checkpoint would be another model, or of other data."""


WHOLE = ("experiment=", "debug=")
"""Groups that are no key of a configuration."""


def resumed(overrides: list[str], *, variant: bool = False) -> list[str] | None:
    """Return the overrides by which a run goes on where the one that `resume` means stood.

    Args:
        overrides: quoted, without options.
        variant: whether the run is one of an experiment's variants. Then, where there is nothing to go on with, it
            starts anew, and where it is finished there is nothing to do: None.

    Raises:
        UserError: there is no such run, or it has no checkpoint yet.
    """
    if not any(override.startswith("resume=") for override in overrides):
        return overrides
    config = compose_defaults("train", overrides)
    if config.resume is False:
        return overrides
    groups = [override for override in overrides if group_of(override.partition("=")[0])[0] in group_names()]
    if config.resume not in (True, "auto"):
        folder = Path(str(config.resume))
        if variant:
            raise UserError(f"resume={folder}: a folder holds one run, but there are several variants; resume=true")
        found = whole_checkpoint(folder)
        if found.path is None and not (folder / "config.yaml").exists():
            raise UserError(f"resume={folder}: there is no {_checkpoint(folder)} to go on from")
        _check_same_model(config, folder, groups)
        if _finished(folder) and not _longer(config, folder / "config.yaml", groups):
            raise UserError(
                f"resume={folder}: that run is finished; to train it on, raise trainer.max_epochs or trainer.max_steps"
            )
        if _finished(folder) and found.path is None:
            raise UserError(f"resume={folder}: that run is finished, and has no checkpoint to train on from")
        return _into(folder, overrides)
    paths = sorted(
        Path("outputs").glob(f"*/{glob.escape(config.run_name)}/*/config.yaml"), key=lambda path: path.parent.name
    )
    runs = [path.parent for path in reversed(paths) if _same(config, path, groups)]
    if variant and any(_finished(run) for run in runs):
        return None
    unfinished = [run for run in runs if not _finished(run)]
    for run in sorted(unfinished, key=lambda run: not _checkpoint(run).exists()):  # those without begin anew
        whole_checkpoint(run)  # damage is named now, before anything is written
        return _into(run, overrides)
    if variant or config.resume == "auto":
        return [*overrides, "resume=false"]
    raise UserError(
        f"resume=true: there is no unfinished run of this configuration among the {len(paths)} in "
        f"outputs/*/{config.run_name}/; leave resume out, or give resume=FOLDER, or resume=auto to start a new run"
    )


class WholeCheckpoint(NamedTuple):
    """The newest checkpoint of a run that can be read."""

    path: Path | None = None  # None: there is none yet
    fault: str | None = None  # what is the matter with a newer one
    tokenizers: Tokenizers | None = None  # that it holds


def whole_checkpoint(run: Path) -> WholeCheckpoint:
    """Return the last checkpoint of a run, or the one before where the last one is damaged.

    Raises:
        UserError: both are.
    """
    faults = []
    for path in (_checkpoint(run), _checkpoint(run).with_name(PREVIOUS)):
        if path.exists():
            try:
                made = [tokenizer_of(model) for model in read_checkpoint(path).tokenizers]
            except UserError as error:
                faults.append(error)
            else:
                tokenizers = Tokenizers(made[0], made[-1]) if made else None
                return WholeCheckpoint(path, str(faults[0]) if faults else None, tokenizers)
    if faults:
        raise faults[0]
    return WholeCheckpoint()


def begin_from(found: WholeCheckpoint, data: TranslationDataModule) -> Path | None:
    """Return the checkpoint to go on from, once the data stand where it does; None where there is none.

    Raises:
        UserError: the data are not what the run was begun with.
    """
    if found.fault:
        log.warning("%s; going on from %s", found.fault.partition(";")[0], found.path)
    if found.path:
        try:
            data.load_state_dict(load_content(found.path)[type(data).__qualname__])
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{found.path} does not say where the training stood ({error}); start a new run") from error
    return found.path


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


def _checkpoint(run: Path) -> Path:
    return run / "checkpoints" / LAST


def _finished(run: Path) -> bool:
    return (run / "metrics.json").exists()


def _into(folder: Path, overrides: list[str]) -> list[str]:
    return [*overrides, *quote([f"hydra.run.dir={folder}"], text_keys=("hydra.run.dir",))]


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


def _check_same_model(config: DictConfig, folder: Path, groups: list[str]) -> None:
    """Refuse to go on with a run under settings by which its checkpoint would be another model, or of other data."""
    ours, theirs = _plain(config, folder / "config.yaml", groups)
    for key in FIXED:
        if ours.get(key) != theirs.get(key):
            raise UserError(
                f"resume={folder}: {key} is not what that run was started with (see {folder}/config.yaml); "
                "give the overrides that it was given"
            )


def _same(config: DictConfig, path: Path, groups: list[str]) -> bool:
    """Return whether the run that wrote a config.yaml was started with this configuration, here or elsewhere."""
    try:
        ours, theirs = _plain(config, path, groups)
        stored = theirs["trainer"]["precision"]
        if config.trainer.precision == AUTO or settle_precision(config, stored=stored).value == stored:
            ours["trainer"]["precision"] = stored  # what that run took, or came to where it could not be had
    except (UserError, KeyError, TypeError):
        return False
    return {k: v for k, v in ours.items() if k not in OWN} == {k: v for k, v in theirs.items() if k not in OWN}


def _longer(config: DictConfig, path: Path, groups: list[str]) -> bool:
    """Return whether a configuration trains for longer than the stored one."""
    ours, theirs = (plain["trainer"] for plain in _plain(config, path, groups))
    raised = any(_limit(ours[key]) > _limit(theirs[key]) for key in ("max_epochs", "max_steps"))
    return raised or ours["max_time"] != theirs["max_time"]


def _limit(value: int | None) -> float:
    """Return a number of epochs or steps as Lightning means it: without one, and at -1, there is no limit."""
    return math.inf if value in (None, -1) else value


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
    known = [o for o in groups if o.startswith(WHOLE) or _has(theirs, group_of(o.partition("=")[0])[1])]
    _leave_out_new(ours, theirs, OmegaConf.to_container(compose_defaults("train", known), resolve=False))
    return {str(k): v for k, v in ours.items()}, {str(k): v for k, v in theirs.items()}
