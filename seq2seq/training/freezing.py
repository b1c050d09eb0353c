"""Parts of a model that a training leaves as they are."""

import difflib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import combinations

from torch import nn

from seq2seq.errors import UserError


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Keep some parameters as they are: they get no gradient, and no optimizer sees them.

    A pattern is a parameter's name, or the name of a part, with `*`, `?` and `[ab]` as in names of files. A part may be
    named from the model on or by itself: `encoder`, `decoder.layers.0`, `cross_attention`, `layers.[01]`; `embedding`
    is a side's table in every model. Where several names are of one parameter, as of tied embeddings, any freezes it.

    Raises:
        UserError: a pattern names nothing, or nothing is left to train.
    """
    if isinstance(patterns, str) or not isinstance(patterns, Sequence):
        raise UserError(f"freeze={patterns}: expected a list, such as freeze=[{patterns or 'encoder'}]")
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    frozen = {name: None for pattern in patterns for name in _matching(str(pattern), names)}
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    if frozen and not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"freeze={list(patterns)}: that is the whole model, and nothing is left to train")


def _matching(pattern: str, names: list[str]) -> list[str]:
    found = [name for name in names if any(fnmatchcase(part, pattern) for part in _parts(name))]
    if not found:
        parts = {part: None for name in names for part in _parts(name)}
        near = difflib.get_close_matches(pattern, parts, n=3, cutoff=0.5)
        first = dict.fromkeys(name.partition(".")[0] for name in names)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the model has {', '.join(first)}"
        raise UserError(f"freeze: there is no parameter or part {pattern}; {hint}")
    return found


def _parts(name: str) -> Iterator[str]:
    """Yield a name and those of the parts that it is in, from the model on and from any part on."""
    if "table" in (steps := name.split(".")) and "embedding" not in steps:  # a recurrent side has it as it is
        yield from _parts(name.replace("table", "embedding"))
    for start, end in combinations(range(len(steps) + 1), 2):
        yield ".".join(steps[start:end])
