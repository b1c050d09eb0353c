"""Attention that has lost some of its heads: which are left, and what of a part is theirs."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from seq2seq.errors import UserError

Part = TypeVar("Part", bound=nn.Module)


def check_kept(kept: Sequence[int] | None, num_heads: int, num_key_heads: int) -> tuple[int, ...] | None:
    """Return which heads an attention keeps; None where all.

    Raises:
        UserError: they are not some of its heads, or heads that share keys are parted.
    """
    if kept is None:
        return None
    listed = isinstance(kept, Sequence) and not isinstance(kept, str)
    heads = tuple(kept) if listed else ()
    known = all(type(head) is int and 0 <= head < num_heads for head in heads)
    if not heads or not known or list(heads) != sorted(set(heads)):
        raise UserError(
            f"kept_heads: {list(heads) if listed else kept} for an attention of {num_heads} heads; "
            f"expected one or more of 0 to {num_heads - 1} in rising order, such as {[0, num_heads - 1][:num_heads]}"
        )
    each = num_heads // num_key_heads
    if num_key_heads > 1 and any(head not in heads for first in heads for head in _sharing(first, each)):
        raise UserError(
            f"kept_heads: of {list(heads)} some share keys with heads that are not kept; heads "
            f"0 to {each - 1} share theirs, and so on: keep all {each} or none"
        )
    return None if len(heads) == num_heads else heads


def _sharing(head: int, each: int) -> range:
    """Return the heads that share keys with a head, itself included, where `each` do."""
    return range(head // each * each, (head // each + 1) * each)


def part_of_kept(make: Callable[[int], Part], num_heads: int, kept: Sequence[int] | None) -> Part:
    """Return a part of an attention (a score, a normaliser, a pattern) for the heads that it keeps.

    Args:
        make: makes the part for a number of heads.
        num_heads: of the attention before.
        kept: which are left; None: all.
    """
    if kept is None:
        return make(num_heads)
    small = make(len(kept))
    copy_heads(make(num_heads), small, kept, num_heads)
    return small


def copy_heads(whole: nn.Module, small: nn.Module, kept: Sequence[int], num_heads: int) -> None:
    """Copy into a part made for fewer heads the tensors that the larger one has for them.

    Which axis of a tensor is that of the heads is seen from how its size follows their number; of several streams of
    scores a head, those of each stream stand together.

    Args:
        whole: made for num_heads.
        small: made for as many as are kept.
        kept: which of them.
        num_heads: how many the larger one has.

    Raises:
        UserError: a tensor does not follow the number of heads.
    """
    larger = dict(_tensors(whole))
    for name, tensor in _tensors(small):
        found = larger.get(name)
        for axis, size in enumerate(tensor.shape if found is not None else ()):
            assert found is not None
            if found.dim() == tensor.dim() and found.shape[axis] != size:
                streams, rest = divmod(found.shape[axis], num_heads)
                chosen = [stream * num_heads + head for stream in range(streams) for head in kept]
                if not rest and len(chosen) == size:
                    found = found.index_select(axis, torch.tensor(chosen, device=found.device))
        if found is None or found.shape != tensor.shape:
            raise UserError(
                f"{type(small).__name__}: {name} does not follow the number of heads, so no head can be taken out of it"
            )
        with torch.no_grad():
            tensor.copy_(found)


def _tensors(part: nn.Module) -> list[tuple[str, Tensor]]:
    """Return parameters and buffers, those that are not saved as well."""
    return [*part.named_parameters(), *part.named_buffers()]
