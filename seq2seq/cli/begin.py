"""What `begin_with=FILE` means: a training that starts from the weights of a checkpoint."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from seq2seq.build import MODEL_KEYS, tokenizers_of
from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.cli.resume import WholeCheckpoint
from seq2seq.cli.sweep import configurations
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults
from seq2seq.pruning import KEYS

FREE = ("dropout", "attention_dropout", "feedforward_dropout")
"""Keys of a model in which a training may differ from the one that its weights come from."""


def with_kept_heads(overrides: list[str], *, sweep: bool) -> list[str]:
    """Return overrides to which the heads are added that the checkpoint of `begin_with` has kept.

    Args:
        overrides: quoted.
        sweep: whether they are of several runs.

    Raises:
        UserError: that is no checkpoint, or one of another model.
    """
    if not any(override.startswith("begin_with=") for override in overrides):
        return overrides
    path, theirs = None, dict[str, Any]()
    for number, config in enumerate(configurations(overrides) if sweep else [compose_defaults("train", overrides)]):
        if number and str(config.begin_with) != str(path):
            raise UserError("begin_with: the runs of a command begin with one checkpoint; give a file")
        if not number and config.begin_with is not None:
            path = str(config.begin_with)
            theirs = read_checkpoint(path).config
        if path is not None:
            _check_same_model(config, theirs)
    given = {override.partition("=")[0] for override in overrides}
    kept = []
    for side, key in KEYS.values():
        heads = theirs.get(side, {}).get(key)
        if heads is not None and f"{side}.{key}" not in given:
            kept.append(f"{side}.{key}={str(heads).replace(' ', '')}")
    return [*overrides, *kept]


def weights_to_begin_with(path: str | None, found: WholeCheckpoint) -> tuple[Checkpoint | None, Tokenizers | None]:
    """Return the checkpoint whose weights a training starts from, None where it has none, and its tokenizers.

    A run that goes on has its own.
    """
    if path is None or found.path is not None:
        return None, found.tokenizers
    checkpoint = read_checkpoint(str(path))
    return checkpoint, tokenizers_of(checkpoint)


def start_from(model: EncoderDecoder, checkpoint: Checkpoint) -> None:
    """Give a model the weights of a checkpoint.

    Raises:
        UserError: they are not those of such a model.
    """
    try:
        model.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise UserError(f"begin_with={checkpoint.path}: its weights do not fit this model: {reason}") from None


def _check_same_model(config: DictConfig, theirs: dict[str, Any]) -> None:
    """Refuse to begin with the weights of another model: what fits by its sizes may mean something else."""
    ours = {key: OmegaConf.to_container(config[key], resolve=True) for key in MODEL_KEYS if config.get(key)}
    kinds = {
        key: {"_target_": config[key]._target_} for key in ("encoder", "decoder")
    }  # what else there is hangs on it
    for key, part in [*kinds.items(), *ours.items()]:
        if found := _difference(key, part, theirs.get(key)):
            name, our, other = found
            raise UserError(
                f"begin_with={config.begin_with}: its {name} is {other}, not {our}; give the overrides that its "
                "training was given"
            )


def _difference(name: str, ours: Any, theirs: Any) -> tuple[str, Any, Any] | None:
    """Return the first key in which two configurations of a model differ, of those that both have."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        last = name.rpartition(".")[2]
        same = ours == theirs or last in FREE or (last == "_target_" and _class(ours) == _class(theirs))
        return None if same else (name, ours, theirs)
    shared = [key for key in ours if key in theirs and (name, key) not in KEYS.values()]
    return next((found for key in shared if (found := _difference(f"{name}.{key}", ours[key], theirs[key]))), None)


def _class(target: Any) -> str:
    """Return a class's own name: it may have moved to another module since."""
    return str(target).rpartition(".")[2]
