"""How a checkpoint is written: whole, or not at all."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq.checkpoint import KEY, LAST, MODEL_PREFIX, PREVIOUS, AlignmentChoice, pack
from seq2seq.errors import UserError, is_full
from seq2seq.unfinished import part_of


def check_new_file(path: Path, given: Iterable[str], *, example: str) -> None:
    """Refuse a place where a checkpoint cannot be written, or where something would be lost.

    Args:
        path: of the checkpoint that is to be made.
        given: checkpoints that it is made of.
        example: a name for a message.

    Raises:
        UserError: saying what is there.
    """
    if path.exists():
        same = any(os.path.exists(other) and path.samefile(other) for other in given)
        what = "the checkpoint itself" if same else "a folder" if path.is_dir() else "there already"
        raise UserError(f"output={path} is {what}; give a new file, such as {example}")
    near = next(folder for folder in path.absolute().parents if folder.exists())
    if not near.is_dir() or not os.access(near, os.W_OK | os.X_OK):
        raise UserError(f"cannot write output={path}: {near} is no folder that can be written; give another file")


def write_model(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    config: dict[str, Any],
    tokenizers: list[bytes],
    alignment: AlignmentChoice | None,
    **more: Any,
) -> None:
    """Write a checkpoint of a model that no training of ours left there, such as one that was averaged.

    Args:
        path: a new file, as `check_new_file` wants it.
        weights: of the `EncoderDecoder`, by name.
        config: the configuration that describes it, as plain data.
        tokenizers: their models, of source and target, or a joint one alone.
        alignment: the head that aligns best; None: there is none, or nobody looked.
        more: what else is kept beside these, plain data.

    Raises:
        UserError: it cannot be written.
    """
    state = {f"{MODEL_PREFIX}{name}": tensor.cpu() for name, tensor in weights.items()}
    content = {"state_dict": state, KEY: pack(config, tokenizers, alignment) | more}
    save_whole(content, path, part_of(path))  # nobody has claimed the place: another may write there, too


def save_whole(content: dict[str, Any], path: Path, part: Path | None = None) -> None:
    """Write a checkpoint beside its place and rename it when it is whole; a run's last one keeps its predecessor.

    Args:
        content: of the checkpoint.
        path: its place.
        part: where it is written until it is whole; None: `.NAME.part`, which no two may write at once. What a killed
            process leaves there stays until that file is written next.

    Raises:
        UserError: it cannot be written, as when the disk is full. What was there before is still there.
    """
    beside = part or path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if path.name == LAST and path.exists():
            os.replace(path, path.with_name(PREVIOUS))
        os.replace(beside, path)
    except (OSError, RuntimeError) as error:  # PyTorch makes one of the other
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise UserError(
            f"cannot write {path} ({getattr(cause, 'strerror', None) or cause}); what was saved before is whole; "
            + ("make some room" if is_full(cause) else "see that it can be written")
        ) from error
    finally:
        beside.unlink(missing_ok=True)
