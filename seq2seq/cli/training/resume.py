"""Which earlier run `resume=` means."""

import glob
import logging
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from seq2seq.checkpoint import LAST, PREVIOUS, load_content, read_checkpoint
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import group_of
from seq2seq.cli.training.same_run import check_same_model, longer, same
from seq2seq.config_files import group_names
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.units import tokenizer_of
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults

log = logging.getLogger(__name__)


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
        check_same_model(config, folder, groups)
        if _finished(folder) and not longer(config, folder / "config.yaml", groups):
            raise UserError(
                f"resume={folder}: that run is finished; to train it on, raise trainer.max_epochs or trainer.max_steps"
            )
        if _finished(folder) and found.path is None:
            raise UserError(f"resume={folder}: that run is finished, and has no checkpoint to train on from")
        return _into(folder, overrides)
    earlier = earlier_runs(config)
    runs = [run for run in earlier if same(config, run / "config.yaml", groups)]
    if variant and any(_finished(run) for run in runs):
        return None
    unfinished = [run for run in runs if not _finished(run)]
    for run in sorted(unfinished, key=lambda run: not _checkpoint(run).exists()):  # those without begin anew
        whole_checkpoint(run)  # damage is named now, before anything is written
        return _into(run, overrides)
    if variant or config.resume == "auto":
        return [*overrides, "resume=false"]
    raise UserError(
        f"resume=true: there is no unfinished run of this configuration among the {len(earlier)} in "
        f"outputs/*/{config.run_name}/; leave resume out, or give resume=FOLDER, or resume=auto to start a new run"
    )


def earlier_runs(config: DictConfig) -> list[Path]:
    """Return the folders in `outputs` of the runs of a configuration's name, newest first."""
    configs = Path("outputs").glob(f"*/{glob.escape(config.run_name)}/*/config.yaml")
    return sorted((path.parent for path in configs), key=lambda run: run.name, reverse=True)


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


def _checkpoint(run: Path) -> Path:
    return run / "checkpoints" / LAST


def _finished(run: Path) -> bool:
    return (run / "metrics.json").exists()


def _into(folder: Path, overrides: list[str]) -> list[str]:
    return [*overrides, *quote([f"hydra.run.dir={folder}"], text_keys=("hydra.run.dir",))]
