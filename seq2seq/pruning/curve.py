"""Scores of a model without each of its heads, and with ever fewer of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import nn

from seq2seq.pruning.cut import Kept, kept_after
from seq2seq.pruning.units import Unit, steps, units_of

Score = Callable[[Kept], dict[str, float]]
"""The scores of a model that has kept these heads."""


class Point(NamedTuple):
    """A number of heads, and how the model does with them."""

    heads: int
    removed: tuple[Unit, ...]
    scores: dict[str, float]  # bleu 0-100, perplexity, aer 0-1 where there are gold links ...


def without_each(model: nn.Module, score: Score) -> Iterator[tuple[Unit, dict[str, float] | None]]:
    """Yield every unit and the scores without it alone; None where it is all that its attention has."""
    units = units_of(model)
    for unit in units:
        alone = sum(other.attention == unit.attention for other in units) == 1
        yield unit, None if alone else score(kept_after(model, [unit]))


def with_fewer(model: nn.Module, order: Sequence[Unit], score: Score) -> Iterator[Point]:
    """Yield the scores with all heads, then with one unit less each time, in their order, to one an attention."""
    removed: tuple[Unit, ...] = ()
    heads = sum(len(unit.heads) for unit in order)
    yield Point(heads, removed, score(kept_after(model, removed)))
    for unit in steps(order):
        removed, heads = (*removed, unit), heads - len(unit.heads)
        yield Point(heads, removed, score(kept_after(model, removed)))


def fewest_within(points: Sequence[Point], loss: float) -> Point:
    """Return the point of fewest heads such that it, and all with more, lose at most so much BLEU."""
    best = points[0]
    for point in points:
        if points[0].scores["bleu"] - point.scores["bleu"] > loss:
            break
        best = point
    return best
