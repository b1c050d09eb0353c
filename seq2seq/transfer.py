"""The weights of a checkpoint in a model that may be another one: what fits is taken, the rest is named."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.data.growth import parts_of_new
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.models import EncoderDecoder

SIDES = ("", "encoder", "decoder")
"""Modules whose kind may differ while what is in them has the same meaning, such as the embeddings."""

BY_ROW = ("table.weight", "output.weight", "output.bias")
"""Ends of names of weights that have a row for each piece of a vocabulary."""


class Transfer(NamedTuple):
    """What became of each weight, by name."""

    taken: list[str]
    new: list[str]  # the model has it, and the checkpoint does not
    reshaped: dict[str, tuple[int, ...]]  # both have it, and the checkpoint's is of this shape
    other_kind: list[str]  # both have it, but of a part that is another one, where it means something else
    left: list[str]  # the checkpoint has it, and the model does not
    grown: dict[str, tuple[int, int]]  # tables of a vocabulary that grew: new rows, and those begun from old ones

    @property
    def is_whole(self) -> bool:
        """Whether all was taken, and nothing is new."""
        return not (self.new or self.reshaped or self.other_kind or self.left or self.grown)


class Vocabularies(NamedTuple):
    """The tokenizers that weights were trained with, and those of the model that takes them."""

    before: Tokenizers
    now: Tokenizers


def transfer(
    model: EncoderDecoder, weights: Mapping[str, Tensor], trained: nn.Module, vocabularies: Vocabularies
) -> Transfer:
    """Give a model the weights that fit it, and return what became of each.

    A weight fits where name and shape are the same, and the part that it is in is of the same kind: a score's matrix
    means nothing to another score. The rows of pieces by which a vocabulary grew are the mean of the rows of the pieces
    that the old vocabulary cuts them into; those of which it knows nothing stay as they are, new. A weight that others
    share is taken once.

    Args:
        model: untrained.
        weights: by name, as in `Checkpoint`.
        trained: a model of their configuration, which may be on the meta device.
        vocabularies: those of the weights and of the model; new pieces stand behind the old ones.
    """
    kinds = _kinds(trained)
    found = Transfer([], [], {}, [], [name for name in weights if name not in model.state_dict()], {})
    fitting = {}
    by = _names_of_shared(model, weights)
    for name, own in model.state_dict().items():
        given = weights.get(name)
        if (other := by.get(name, name)) != name:
            if given is not None and not torch.equal(given, weights[other]):
                found.left.append(name)  # here it is one with another weight
            continue
        if given is None:
            found.new.append(name)
        elif kinds.get(name) != _kind(model, name):
            found.other_kind.append(name)
        else:
            rows = _grown_rows(name, given, own, vocabularies)
            if rows is not None:
                given, found.grown[name] = rows
            if given.shape == own.shape:
                found.taken.append(name)
                fitting[name] = given
            else:
                found.reshaped[name] = tuple(given.shape)
    model.load_state_dict(fitting, strict=False)
    return found


def describe(found: Transfer, model: nn.Module) -> list[str]:
    """Return lines that say what was not taken as it was, one thing a line; a part that is all new is one thing."""
    own = model.state_dict()
    total = len(found.taken) + len(found.new) + len(found.reshaped) + len(found.other_kind)
    lines = [f"{len(found.taken)} of {total} weights are taken"]
    lines += [f"new: {part}" for part in _parts(found.new, own)]
    lines += [
        f"new, since of another shape: {name} is {_shape(own[name].shape)}, was {_shape(shape)}"
        for name, shape in found.reshaped.items()
    ]
    lines += [f"new, since of another kind: {part}" for part in _parts(found.other_kind, own)]
    lines += [f"not used: {part}" for part in whole_parts(found.left, found.left + list(own))]
    for name, (new, begun) in found.grown.items():
        lines.append(f"grown: {name} has {len(own[name])} rows, {new} of them new, {begun} of these means of old ones")
    return lines


def _names_of_shared(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return by each name of a weight the name by which it is taken: of several the first that is given, if one is."""
    names: dict[int, list[str]] = {}
    for name, own in model.state_dict().items():
        if own.numel():
            names.setdefault(own.data_ptr(), []).append(name)
    return {name: next((x for x in same if x in weights), same[0]) for same in names.values() for name in same}


def _grown_rows(
    name: str, given: Tensor, own: Tensor, vocabularies: Vocabularies
) -> tuple[Tensor, tuple[int, int]] | None:
    """Return a table with rows for new pieces, with their number and how many have parts; None for no such table."""
    before, now = (v.source if name.startswith("encoder.") else v.target for v in vocabularies)
    sizes = len(before), len(now)
    if not name.endswith(BY_ROW) or (len(given), len(own)) != sizes or sizes[0] >= sizes[1]:
        return None
    if given.shape[1:] != own.shape[1:]:
        return None
    rows = torch.cat((given, own[sizes[0] :].to(given)))
    parts = parts_of_new(before, now)
    for number, ids in enumerate(parts, start=sizes[0]):
        if ids:
            rows[number] = given[ids].mean(0)
    return rows, (sizes[1] - sizes[0], sum(map(bool, parts)))


def _kinds(model: nn.Module) -> dict[str, tuple[type, ...]]:
    return {name: _kind(model, name) for name in model.state_dict()}


def _kind(model: nn.Module, name: str) -> tuple[type, ...]:
    """Return the classes of the parts that a weight is in, without those of the model and its sides."""
    names = name.split(".")[:-1]
    owners = (".".join(names[:end]) for end in range(1, len(names) + 1))
    return tuple(type(model.get_submodule(owner)) for owner in owners if owner not in SIDES)


def _parts(names: Sequence[str], own: Mapping[str, Tensor]) -> list[str]:
    """Return names with their sizes; where all weights of a part are among them, the part in their place."""
    described = []
    for part in whole_parts(names, own):
        inside = [own[name] for name in own if name == part or name.startswith(f"{part}.")]
        if len(inside) == 1 and part in own:
            described.append(f"{part} ({_shape(own[part].shape)})")
        else:
            described.append(f"{part} ({sum(tensor.numel() for tensor in inside):,} parameters)")
    return described


def whole_parts(names: Sequence[str], every: Iterable[str]) -> list[str]:
    """Return names, and in the place of all names of a part that part; `every` are all names that there are."""
    chosen, every = set(names), list(every)
    found: dict[str, None] = {}
    for name in names:
        steps = name.split(".")
        prefixes = (".".join(steps[:end]) for end in range(1, len(steps)))
        whole = (p for p in prefixes if all(n in chosen for n in every if n.startswith(f"{p}.")))
        found[next(whole, name)] = None
    return list(found)


def _shape(sizes: Iterable[int]) -> str:
    return " × ".join(map(str, sizes)) or "one number"
