"""The heads of an attention: which share keys, which are left when some are pruned, and what of a part is theirs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from seq2seq.errors import UserError

Part = TypeVar("Part", bound=nn.Module)


class Heads(NamedTuple):
    """The heads of an attention."""

    total: int  # before any was pruned
    total_keys: int  # how many key heads these shared
    kept: tuple[int, ...]  # those that are left

    @classmethod
    def of(cls, num_heads: int, num_key_heads: int | None, kept: Sequence[int] | None) -> Self:
        """Return the heads that an attention is to have.

        Args:
            num_heads: at least 1.
            num_key_heads: a divisor of num_heads; None: as many.
            kept: of 0 to num_heads - 1; None: all.

        Raises:
            UserError: there cannot be so many key heads, `kept` are not some of the heads, or heads that share keys
                are parted.
        """
        keys = num_heads if num_key_heads is None else num_key_heads
        if not isinstance(keys, int) or keys < 1:
            raise UserError(f"num_key_heads={keys}: set 1 (all query heads share one), or more, or null")
        if num_heads % keys:
            raise UserError(f"num_heads={num_heads} is not a multiple of num_key_heads={keys}; change one of them")
        whole = cls(num_heads, keys, tuple(range(num_heads)))
        return whole if kept is None else whole._replace(kept=whole._checked(kept))

    @property
    def each(self) -> int:
        """How many heads shared a key head, before any was pruned."""
        return self.total // self.total_keys

    def sharing(self, key_head: int) -> range:
        """Return the heads that shared a key head."""
        return range(key_head * self.each, (key_head + 1) * self.each)

    @property
    def left(self) -> int:
        """How many are left."""
        return len(self.kept)

    @property
    def keys_left(self) -> int:
        """How many key heads are left: heads that share one go together, but where all share one, each by itself."""
        return max(1, self.total_keys * self.left // self.total)

    @property
    def pruned(self) -> bool:
        """Whether any is gone."""
        return self.left < self.total

    def part(self, make: Callable[[int], Part]) -> Part:
        """Return a part (a score, a normaliser, a pattern) for the heads that are left: make(a number of heads)."""
        if not self.pruned:
            return make(self.total)
        small = make(self.left)
        copy_heads(make(self.total), small, self.kept, self.total)
        return small

    def _checked(self, kept: Sequence[int]) -> tuple[int, ...]:
        """Return which heads are left, or refuse what cannot be."""
        listed = isinstance(kept, Sequence) and not isinstance(kept, str)
        heads = tuple(kept) if listed else ()
        known = all(type(head) is int and 0 <= head < self.total for head in heads)
        if not heads or not known or list(heads) != sorted(set(heads)):
            last = self.total - 1
            raise UserError(
                f"kept_heads: {list(heads) if listed else kept} for an attention of {self.total} heads; "
                f"expected one or more of 0 to {last} in rising order, such as {[0, last][: self.total]}"
            )
        together = {head for first in heads for head in self.sharing(first // self.each)}
        if self.total_keys > 1 and not together <= set(heads):
            raise UserError(
                f"kept_heads: of {list(heads)} some share keys with heads that are not kept; heads "
                f"0 to {self.each - 1} share theirs, and so on: keep all {self.each} or none"
            )
        return heads


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
