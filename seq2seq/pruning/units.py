"""What can be cut by itself: a head, or the heads that share a key head; and what goes first."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.errors import UserError
from seq2seq.pruning.importance import normalized
from seq2seq.pruning.masks import multihead_attentions


class Unit(NamedTuple):
    """Heads that stay or go together."""

    attention: str  # module name
    heads: tuple[int, ...]


def units_of(model: nn.Module) -> list[Unit]:
    """Return what can be cut by itself, in the order of the model's parts.

    A head; where several heads share each of several key heads, those that share one; where all share one, a head.
    An attention is never cut whole, so that each layer has weights to look at.

    Raises:
        UserError: there is no multi-head attention.
    """
    found = []
    for name, attention in multihead_attentions(model).items():
        together = attention.heads.each if attention.heads.total_keys > 1 else 1
        starts = range(0, attention.num_heads, together)
        found += [Unit(name, tuple(range(start, start + together))) for start in starts]
    if not found:
        raise UserError(
            "this model has no multi-head attention: a recurrent decoder has one head, so there is none to spare; "
            "use a checkpoint of model=transformer or encoder=transformer"
        )
    return found


def by_importance(units: Sequence[Unit], importance: Mapping[str, Tensor]) -> list[Unit]:
    """Return units with the least important first: the mean over the heads of a unit, (heads,) by attention."""
    return sorted(units, key=lambda unit: importance[unit.attention][list(unit.heads)].mean().item())


def at_random(units: Sequence[Unit], seed: int) -> list[Unit]:
    """Return units in random order: what any other order is to be compared with."""
    order = torch.randperm(len(units), generator=torch.Generator().manual_seed(seed))
    return [units[i] for i in order]


def in_order(
    by: str,
    units: Sequence[Unit],
    importance: Mapping[str, Tensor],
    loss_without: Callable[[], dict[Unit, float]],
    seed: int,
) -> list[Unit]:
    """Return units in the order in which they go.

    Args:
        by: `importance`, over the l2 norm of each attention's; `raw_importance`, as it is; `ablation` or `random`.
        units: of the model.
        importance: of each attention's heads.
        loss_without: returns the loss without each unit that can go.
        seed: of a random order.
    """
    if by == "importance":
        return by_importance(units, normalized(importance))
    if by == "raw_importance":
        return by_importance(units, importance)
    if by == "random":
        return at_random(units, seed)
    loss = loss_without()
    return sorted(units, key=lambda unit: loss.get(unit, math.inf))


def steps(units: Sequence[Unit]) -> Iterator[Unit]:
    """Yield the units of an order that go one after the other, all but the last one of each attention."""
    left = {name: sum(unit.attention == name for unit in units) for name in {unit.attention for unit in units}}
    for unit in units:
        if left[unit.attention] > 1:
            left[unit.attention] -= 1
            yield unit


def removed_for(units: Sequence[Unit], heads: int) -> list[Unit]:
    """Return which units go, in their order, so that a number of heads is left.

    Raises:
        UserError: that number cannot be left, with those that can.
    """
    count = sum(len(unit.heads) for unit in units)
    gone: list[Unit] = []
    numbers = [count]
    for unit in steps(units):
        if numbers[-1] <= heads:
            break
        gone.append(unit)
        numbers.append(numbers[-1] - len(unit.heads))
    if numbers[-1] == heads:
        return gone
    least = count - sum(len(unit.heads) for unit in steps(units))
    if not least <= heads <= count:
        raise UserError(
            f"heads={heads}: the model has {count}, and each attention keeps one; expected {least} to {count}"
        )
    raise UserError(
        f"heads={heads}: some heads share keys and go together; expected {numbers[-1]} or {numbers[-2]}, which are near"
    )
