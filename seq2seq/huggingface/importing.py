"""Their weights as ours: every one is used, every one of ours is there, and all sizes fit."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.attention.positions import waves
from seq2seq.data.tokenizer import BOS
from seq2seq.errors import UserError
from seq2seq.huggingface.folder import Folder
from seq2seq.huggingface.layout import (
    LOGITS,
    LOGITS_BIAS,
    OUTPUT,
    OUTPUT_BIAS,
    SHARED,
    SOURCE_TABLE,
    TARGET_TABLE,
    marian_order,
    parts,
    reorder,
    their_table,
)
from seq2seq.huggingface.options import M2M100, MARIAN, Model, read_model
from seq2seq.huggingface.vocabulary import Vocabularies, read_vocabularies

NO_CHANCE = -1000.0
"""The bias of the start where theirs does not have it as a row of its own: nothing of it is left in a sum."""

POSITIONS = re.compile(r"model\.(encoder|decoder)\.embed_positions\.weights?")
OFFSET = 2
"""Places of M2M100 count from here."""


class Found(NamedTuple):
    """A folder that was read, but for its weights."""

    folder: Folder
    model: Model
    vocabularies: Vocabularies

    @property
    def overrides(self) -> list[str]:
        """What `seq2seq train` is told to make such a model, in short names."""
        target = self.vocabularies.tokenizers.target
        first = target.tag_ids[target.tag] if target.tag else self._forced
        return [*self.model.overrides, *([] if first is None else [f"model.first_token={first}"])]

    @property
    def _forced(self) -> int | None:
        """What every translation of a Marian model begins with: of M2M100 it is the language."""
        forced = self.model.generation.get("forced_bos_token_id") if self.model.kind == MARIAN else None
        if forced is None:
            return None
        if forced not in self.vocabularies.target_rows:
            raise UserError(
                f"{self.folder.path}: forced_bos_token_id={forced} is no piece of its vocabulary; fetch it again"
            )
        return self.vocabularies.target_rows.index(forced)


def read(path: Path, *, source_language: str, target_language: str) -> Found:
    """Return what a folder of `save_pretrained` holds beside its weights.

    Args:
        path: of the folder.
        source_language: of the text, for a model that is told it; else "".
        target_language: of the translation, likewise.

    Raises:
        UserError: it cannot be imported, and why.
    """
    folder = Folder(path)
    config, generation = folder.read_json("config.json"), folder.read_json("generation_config.json", optional=True)
    model = read_model(config, generation, name=str(path))
    languages = {"source_language": source_language, "target_language": target_language}
    vocabularies = read_vocabularies(folder, model, **languages)
    if not model.tied and vocabularies.source_rows == vocabularies.target_rows:
        weights = folder.weights()
        source, target = (weights.get(their_table(side)) for side in ("encoder", "decoder"))
        equal = source is not None and target is not None and torch.equal(source, target)
        model = model._replace(equal_tables=equal)
    return Found(folder, model, vocabularies)


def convert(found: Found, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return the weights of our model, float32.

    Args:
        found: the folder.
        shapes: of the weights of our model, by our names.

    Raises:
        UserError: weights are missing, left over, no numbers, or of another size than the configuration says.
    """
    model, keys = found.model, found.model.keys
    theirs = _Theirs(str(found.folder.path), found.folder.weights())
    order = marian_order(keys["d_model"]) if model.kind == MARIAN else None
    made: dict[str, Tensor] = {}
    layers = {side: keys[side] for side in ("encoder_layers", "decoder_layers")}
    for part in parts(**layers, norm_first=model.norm_first):
        for kind in ("weight", "bias"):
            ours = f"{part.ours}.{kind}"
            made[ours] = reorder(part, kind, theirs.take(f"{part.theirs}.{kind}", shapes[ours]), order)
    made |= _tables(found, theirs, order)
    if model.kind == M2M100:
        places = torch.arange(OFFSET, OFFSET + keys["max_position_embeddings"])
        for side in ("encoder", "decoder"):
            made[f"{side}.embedding.positions.weight"] = _fairseq_waves(places, keys["d_model"])
    theirs.check_left(model)
    return made


class _Theirs:
    """The weights of a folder, of which each is to be taken.

    Args:
        name: of the folder, for messages.
        weights: by their names.
    """

    def __init__(self, name: str, weights: Mapping[str, Tensor]) -> None:
        self.name = name
        self.weights = weights
        self.left = dict(weights)

    def __contains__(self, theirs: str) -> bool:
        return theirs in self.weights

    def take(self, theirs: str, shape: Sequence[int]) -> Tensor:
        """Return a weight, which is of that shape."""
        if theirs not in self:
            raise UserError(f"{self.name}: its weights have no {theirs}; save the model with `save_pretrained`")
        tensor = self.weights[theirs].float()
        self.left.pop(theirs, None)
        if tuple(tensor.shape) != tuple(shape):
            raise UserError(
                f"{self.name}: {theirs} has the sizes {_sizes(tensor.shape)}, but by config.json {_sizes(shape)}; "
                "they are not of one model"
            )
        if not torch.isfinite(tensor).all():
            raise UserError(f"{self.name}: {theirs} holds nan or inf, no number; fetch it again")
        return tensor

    def take_one(self, names: Sequence[str], shape: Sequence[int]) -> Tensor:
        """Return a weight that may be there under several names, which are one."""
        there = [theirs for theirs in names if theirs in self] or names[:1]
        return [self.take(theirs, shape) for theirs in there][0]

    def check_left(self, model: Model) -> None:
        """Refuse what was not taken, but for positions, which are computed: these must be the usual ones."""
        _check_positions(self.left, model, self.name)
        if other := [theirs for theirs in self.left if not POSITIONS.fullmatch(theirs)]:
            raise UserError(
                f"{self.name}: its weights have {other[0]}, which a {model.kind} model has not"
                + (f" (and {len(other) - 1} more)" if len(other) > 1 else "")
            )


def _tables(found: Found, theirs: _Theirs, order: Tensor | None) -> dict[str, Tensor]:
    """Return the embeddings of both sides, the output and its bias, with our order of pieces and of dimensions."""
    _, model, vocabularies = found
    keys = model.keys
    source_rows, target_rows = vocabularies.source_rows, vocabularies.target_rows
    source_size = keys["vocab_size"]
    target_size = source_size if model.one_vocabulary else keys.get("decoder_vocab_size") or source_size

    def table(names: Sequence[str], vocab_size: int, rows: list[int]) -> Tensor:
        picked = theirs.take_one(names, (vocab_size, keys["d_model"]))[rows]
        return picked if order is None else picked[:, order]

    made: dict[str, Tensor] = {}
    sides = [their_table("encoder"), their_table("decoder")]
    if model.tied:  # then any of these may be there
        made[SOURCE_TABLE] = made[TARGET_TABLE] = table([SHARED, *sides], source_size, source_rows)
    else:
        made[SOURCE_TABLE] = table([sides[0], SHARED], source_size, source_rows)
        made[TARGET_TABLE] = table([sides[1], SHARED], target_size, target_rows)
    if keys["tie_word_embeddings"]:
        made[OUTPUT] = made[TARGET_TABLE]
        theirs.left.pop(LOGITS, None)  # the same once more
    else:
        made[OUTPUT] = table([LOGITS], target_size, target_rows)
    bias = theirs.take(LOGITS_BIAS, (1, target_size))[0] if LOGITS_BIAS in theirs else torch.zeros(target_size)
    made[OUTPUT_BIAS] = bias[target_rows]
    if target_rows.count(keys["decoder_start_token_id"]) > 1:
        made[OUTPUT_BIAS][BOS] = NO_CHANCE
    return made


def _fairseq_waves(places: Tensor, d_model: int) -> Tensor:
    """Return sines and then cosines (places, d_model), the slowest of which is 10000 times as slow as the first."""
    half = d_model // 2  # of a single wave fairseq itself makes nan, and no model has been trained so
    rates = torch.exp(torch.arange(half).float() * -(torch.log(torch.tensor(10000.0)) / max(1, half - 1)))
    angles = places[:, None].float() * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def _check_positions(left: Mapping[str, Tensor], model: Model, name: str) -> None:
    """Refuse stored positions that are not the waves that they always are."""
    for theirs, tensor in left.items():
        if model.kind != MARIAN or not POSITIONS.fullmatch(theirs):
            continue
        made = waves(torch.arange(len(tensor)), tensor.shape[-1])
        if tensor.shape[-1] != model.keys["d_model"] or not torch.allclose(
            tensor.float()[:, marian_order(tensor.shape[-1])], made, atol=1e-3
        ):
            raise UserError(f"{name}: {theirs} are no sinusoidal positions, as {MARIAN} models have them")


def _sizes(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "1"
