"""Checkpoints to one model: that of the only one, or the ensemble of several."""

from collections.abc import Sequence

import torch

from seq2seq.build import load_model, tokenizers_of
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.decoding.ensemble import MEANS, Ensemble
from seq2seq.decoding.unknown import UnknownCopy
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder


def load_models(
    checkpoints: Sequence[Checkpoint], device: torch.device, *, mean: str, dtype: torch.dtype = torch.float32
) -> tuple[EncoderDecoder | Ensemble, Tokenizers]:
    """Return the model of one checkpoint, or the ensemble of several, in evaluation mode; and its tokenizers.

    Args:
        checkpoints: at least one.
        device: for all of them.
        mean: of an ensemble, `log` or `linear`.
        dtype: of the weights.

    Raises:
        UserError: the models have different vocabularies, or one cannot be loaded; or a mean of one model is asked for.
    """
    if mean not in MEANS:
        raise UserError(f"ensemble={mean} is not known; use {' or '.join(MEANS)}")
    if len(checkpoints) == 1 and mean != MEANS[0]:  # which is how it is where nobody says anything
        raise UserError(f"ensemble={mean} joins several models; give checkpoint=[FILE,FILE]")
    check_one_vocabulary(checkpoints)
    loaded = [load_model(checkpoint, device) for checkpoint in checkpoints]
    models = [model.to(dtype) for model, _ in loaded]
    return models[0] if len(models) == 1 else Ensemble(models, mean=mean), loaded[0][1]


def unknown_copy(
    checkpoints: Sequence[Checkpoint], model: EncoderDecoder | Ensemble, tokenizers: Tokenizers
) -> UnknownCopy:
    """Return what copies source words where a model says `<unk>`: by the first model of several that has attention.

    Raises:
        UserError: there is none with attention.
    """
    models = model.models if isinstance(model, Ensemble) else (model,)
    for checkpoint, one in zip(checkpoints, models, strict=True):
        if checkpoint.alignment is not None:
            return UnknownCopy(one, tokenizers.target, checkpoint.alignment)
    raise UserError(f"unknown=copy: {checkpoints[0].path} has no attention to point at a word; say unknown=keep")


def check_one_vocabulary(checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse checkpoints whose models have not the same pieces on both sides, in the same order.

    Raises:
        UserError: naming two of them.
    """
    first, *others = checkpoints
    ours = tokenizers_of(first)
    for other in others:
        for side, our, their in zip(Tokenizers._fields, ours, tokenizers_of(other), strict=True):
            if our.model_proto != their.model_proto:
                raise UserError(
                    f"{other.path} has another {side} vocabulary ({len(their)} pieces) than {first.path} ({len(our)}); "
                    "give models that were trained with the same tokenizer on the same text"
                )


def shortest_limit(checkpoints: Sequence[Checkpoint]) -> int:
    """Return the most pieces of a sentence that all models were trained with."""
    return min(checkpoint.max_length for checkpoint in checkpoints)
