"""Attention of a sentence pair as an `.npz` file: plain arrays that NumPy opens anywhere."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from seq2seq.alignment.maps import AttentionMap, attention_maps
from seq2seq.alignment.sentence import Sentence

SIDES = ("source", "target")
READ = ":read"


class SavedAttention(NamedTuple):
    """What an archive holds."""

    source: Sentence
    target: Sentence
    maps: list[AttentionMap]


def save_attention(path: str | Path, source: Sentence, target: Sentence, maps: Iterable[AttentionMap]) -> None:
    """Write the attention of a sentence pair.

    For every attention, by its module's name, float32 weights (heads, query pieces, key pieces); where the model is
    read in another way, by name and `:read` its shares, of several heads all together first; and of both sides `text`,
    `ids`, `pieces`, `words` and `word_of_piece`. Rows and columns are the pieces in order and `</s>` after
    them; in causal self-attention `<s>` before them.
    """
    maps = list(maps)
    arrays: dict[str, np.ndarray] = {attention.name: attention.weights.numpy() for attention in maps}
    arrays |= {f"{attention.name}{READ}": attention.read.numpy() for attention in maps if attention.read is not None}
    for side, sentence in zip(SIDES, (source, target), strict=True):
        arrays |= {f"{side}_{field}": np.array(value) for field, value in sentence._asdict().items()}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_attention(path: str | Path) -> SavedAttention:
    """Return what `save_attention` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    source, target = (
        Sentence(*(arrays.pop(f"{side}_{field}").tolist() for field in Sentence._fields)) for side in SIDES
    )
    tensors = {name: torch.from_numpy(weights).unsqueeze(0) for name, weights in arrays.items()}
    read = {name.removesuffix(READ): tensors.pop(name) for name in arrays if name.endswith(READ)}
    return SavedAttention(source, target, list(attention_maps(tensors, 0, source, target, read=read)))
