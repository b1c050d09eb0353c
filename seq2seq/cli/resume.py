"""Which earlier run `resume=` means."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seq2seq.cli.options import compose_defaults
from seq2seq.errors import UserError

FIXED = ("data", "tokenizer", "model", "encoder", "decoder", "score", "normalizer", "optimizer", "seed")
"""Keys in which it may not."""

OWN = ("resume", "output")
"""Keys in which a resumed run may differ from the one it continues."""


def find_run(overrides: list[str]) -> Path | None:
    """Return the folder of the run to go on with; None where `resume` is not asked for.

    Raises:
        UserError: there is no such run, or it has no checkpoint yet.
    """
    if not any(override.startswith("resume=") for override in overrides):
        return None
    config = compose_defaults("train", [override for override in overrides if not override.startswith("-")])
    if config.resume is False:
        return None
    if config.resume is not True:
        folder = Path(str(config.resume))
        if not (folder / "checkpoints" / "last.ckpt").exists():
            raise UserError(f"resume={folder}: there is no {folder}/checkpoints/last.ckpt to go on from")
        _check_same_model(config, folder)
        return folder
    runs = sorted(Path("outputs").glob(f"*/{config.run_name}/*/config.yaml"), key=lambda path: path.parent.name)
    for path in reversed(runs):
        if not (path.parent / "metrics.json").exists() and _same(config, path):
            if not (path.parent / "checkpoints" / "last.ckpt").exists():
                continue
            return path.parent
    raise UserError(
        f"resume=true: there is no unfinished run of this configuration with a checkpoint among the {len(runs)} "
        f"in outputs/*/{config.run_name}/; leave resume out, or name a folder: resume=FOLDER"
    )


def _check_same_model(config: DictConfig, folder: Path) -> None:
    """Refuse to go on with a run under settings by which its checkpoint would be another model, or of other data."""
    ours, theirs = _plain(config, folder / "config.yaml")
    for key in FIXED:
        if ours.get(key) != theirs.get(key):
            raise UserError(
                f"resume={folder}: {key} is not what that run was started with (see {folder}/config.yaml); "
                "give the overrides that it was given"
            )


def _same(config: DictConfig, path: Path) -> bool:
    """Return whether the run that wrote a config.yaml was started with this configuration."""
    ours, theirs = _plain(config, path)
    return {k: v for k, v in ours.items() if k not in OWN} == {k: v for k, v in theirs.items() if k not in OWN}


def _plain(config: DictConfig, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return this configuration, as if it were of the same folder, and the stored one, both as plain data."""
    stored = OmegaConf.load(path)
    assert isinstance(stored, DictConfig)
    config.output = stored.output
    ours, theirs = (OmegaConf.to_container(c, resolve=True) for c in (config, stored))
    assert isinstance(ours, dict) and isinstance(theirs, dict)
    return {str(k): v for k, v in ours.items()}, {str(k): v for k, v in theirs.items()}
