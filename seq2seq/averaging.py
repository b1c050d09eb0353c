"""The mean of the weights of several checkpoints of one model, such as the last of a training."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from seq2seq.build import MODEL_KEYS, load_model
from seq2seq.build_ensemble import check_one_vocabulary
from seq2seq.checkpoint import Checkpoint
from seq2seq.checkpoint_writing import check_new_file, write_model
from seq2seq.errors import UserError
from seq2seq.options import with_new_keys

log = logging.getLogger(__name__)

FREE = ("dropout", "attention_dropout", "feedforward_dropout")
"""Last parts of keys of a model in which its trainings may differ."""


def average(checkpoints: Sequence[Checkpoint], output: Path) -> None:
    """Write a checkpoint whose weights are the mean of those of several.

    Raises:
        UserError: there are fewer than two, they are not of one model, or the file cannot be written, or is there.
    """
    if len(checkpoints) < 2:
        given = ",".join(checkpoint.path for checkpoint in checkpoints)
        raise UserError(f"checkpoints={given} is one alone; give at least two: [FILE,FILE]")
    check_new_file(output, [checkpoint.path for checkpoint in checkpoints], example="averaged.ckpt")
    first = checkpoints[0]
    # Weights that are tied in the model are one tensor in what it hands out, and in the file.
    model, _ = load_model(first._replace(weights=mean_weights(checkpoints)), torch.device("cpu"))
    _warn_of_strangers(checkpoints)
    write_model(
        output,
        model.state_dict(),
        config=first.config,
        tokenizers=first.tokenizers,
        alignment=first.alignment,
        averaged_from=[os.path.abspath(checkpoint.path) for checkpoint in checkpoints],
    )
    other = next((checkpoint for checkpoint in checkpoints if checkpoint.alignment != first.alignment), None)
    if other is not None:
        log.warning("the alignment is that of %s; %s has another", first.path, other.path)


def mean_weights(checkpoints: Sequence[Checkpoint]) -> dict[str, Tensor]:
    """Return the mean of the weights, each in its own type; summed in float64.

    Whole numbers, which are constants or counts, are those of the last checkpoint.

    Raises:
        UserError: the checkpoints are not of one model; the message names what differs.
    """
    check_one_model(checkpoints)
    return {name: _mean([checkpoint.weights[name] for checkpoint in checkpoints]) for name in checkpoints[0].weights}


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    last = tensors[-1]
    if not last.is_floating_point():
        return last
    total = torch.zeros_like(last, dtype=torch.float64)
    for tensor in tensors:
        total += tensor
    return (total / len(tensors)).to(last.dtype)


def check_one_model(checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse checkpoints of different vocabularies, options of the model, names or shapes of weights.

    What fits by its shapes may still mean something else, such as the positions of a Transformer.

    Raises:
        UserError: naming two checkpoints, and what differs between them.
    """
    check_one_vocabulary(checkpoints)
    first, *others = checkpoints
    for other in others:
        for side in ("encoder", "decoder"):  # first: not each kind of them reads all that `model` says
            ours, theirs = (_kind(checkpoint.config.get(side, {})) for checkpoint in (first, other))
            if ours != theirs:
                raise UserError(f"{other.path}: {side} is {theirs}, but {ours} in {first.path}; average one model's")
        configs = [with_new_keys(checkpoint.config) for checkpoint in (first, other)]
        for key in MODEL_KEYS:
            if found := _difference(key, *(config.get(key) for config in configs)):
                name, ours, theirs = found
                raise UserError(f"{other.path}: {name} is {theirs}, but {ours} in {first.path}; average one model's")
        for name in sorted({*first.weights, *other.weights}):
            ours, theirs = (_shape(checkpoint.weights.get(name)) for checkpoint in (first, other))
            if ours != theirs:
                raise UserError(f"{other.path}: {name} is {theirs}, but {ours} in {first.path}; average one model's")


def _warn_of_strangers(checkpoints: Sequence[Checkpoint]) -> None:
    """Say it where the trainings of two checkpoints began with other weights: between two models lies no third."""
    first, *others = checkpoints
    known = _beginnings(first)
    for other in others:
        if known.isdisjoint(_beginnings(other)):
            seeds = [checkpoint.config.get("seed") for checkpoint in (first, other)]
            why = f" (seed={seeds[0]} and seed={seeds[1]})" if seeds[0] != seeds[1] else ""
            log.warning(
                "%s and %s began with different weights%s, so their mean is no model; average checkpoints of one run, "
                "or translate with both: checkpoint=[FILE,FILE]",
                first.path,
                other.path,
                why,
            )
            return


def _beginnings(checkpoint: Checkpoint) -> set[str]:
    """Return the runs that a checkpoint comes from: its own, those that it began with, or the seed of the first."""
    config = checkpoint.config
    found = {_run_of(path) for path in (checkpoint.path, *checkpoint.averaged_from)}
    if config.get("output"):
        found.add(os.path.realpath(config["output"]))
    begin = config.get("begin_with")
    while begin is not None and _run_of(begin) not in found:
        found.add(_run_of(begin))
        config = _config_of(_run_of(begin))
        begin = config.get("begin_with")
    if begin is None and config.get("data") is not None:  # else it was trained elsewhere
        found.add(f"seed={config.get('seed')}")
    return found


def _run_of(path: str) -> str:
    """Return the folder of the run that keeps a checkpoint, or the file where it is kept elsewhere."""
    file = Path(os.path.realpath(path))
    return str(file.parent.parent if file.parent.name == "checkpoints" else file)


def _config_of(run: str) -> dict[str, Any]:
    """Return the configuration in the folder of a run; an empty one where it cannot be read."""
    try:
        found = OmegaConf.to_container(OmegaConf.load(Path(run) / "config.yaml"))
    except Exception:  # whatever a YAML reader makes of broken bytes; then nothing is known of it
        return {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def _difference(name: str, ours: Any, theirs: Any) -> tuple[str, Any, Any] | None:
    """Return the first key in which two configurations differ, and both values; of keys that both have."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = (_difference(f"{name}.{key}", ours[key], theirs[key]) for key in ours if key in theirs)
        return next(filter(None, found), None)
    return None if ours == theirs or name.rpartition(".")[2] in FREE else (name, ours, theirs)


def _kind(part: Mapping[str, Any]) -> str:
    return str(part.get("_target_")).rpartition(".")[2]


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"of shape {tuple(tensor.shape)}"
