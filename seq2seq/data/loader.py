"""Loaders of token-budget batches over cached ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from seq2seq.data.batching import Example, TokenBudgetSampler, collate
from seq2seq.data.encoding import piece_links
from seq2seq.data.mapped_pages import MappedPages
from seq2seq.data.pair import Pair
from seq2seq.data.progress import Taken
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError

ROWS_AT_ONCE = 16
"""Looked up before the pages in which they lie are let go: each row brings half a MiB of them."""


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How large batches are, which pairs are in them, and who makes them: the keys of `configs/train.yaml`'s `loader`.

    Raises:
        UserError: a size is below 1.
    """

    tokens_per_batch: int  # sentences times longest source or target, in pieces
    eval_tokens_per_batch: int
    max_length: int  # pieces without EOS; longer training pairs are dropped, longer input is cut
    max_ratio: float  # training pairs whose lengths differ by more are dropped
    num_workers: int = 0
    cache_dir: str

    def __post_init__(self) -> None:
        for name in ("tokens_per_batch", "eval_tokens_per_batch", "max_length"):
            if getattr(self, name) < 1:
                raise UserError(f"loader.{name}={getattr(self, name)} must be above 0")


class Examples(Dataset[Example]):
    """Cached ids by index: many in one look-up. With tokenizers also the gold links, between pieces."""

    def __init__(self, rows: datasets.Dataset, linked_by: Tokenizers | None = None) -> None:
        columns = ["source_ids", "target_ids"]
        self.rows = rows.select_columns([*columns, *Pair._fields] if linked_by else columns)
        self.linked_by = linked_by
        self._pages = MappedPages(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Example]:
        parts = (indices[start : start + ROWS_AT_ONCE] for start in range(0, len(indices), ROWS_AT_ONCE))
        return [example for part in parts for example in self._look_up(part)]

    def _look_up(self, indices: list[int]) -> list[Example]:
        rows = self.rows[indices]
        columns = [rows["source_ids"], rows["target_ids"], indices]
        if self.linked_by:
            pairs = map(Pair, *(rows[name] for name in Pair._fields))
            columns.append([piece_links(self.linked_by, pair) for pair in pairs])
        self._pages.release()
        return list(zip(*columns, strict=True))


def batch_loader(
    rows: datasets.Dataset,
    *,
    tokens_per_batch: int,
    shuffle: bool,
    num_workers: int = 0,
    seed: int = 0,
    epoch: int = 0,
    linked_by: Tokenizers | None = None,
    rank: int = 0,
    world_size: int = 1,
    taken: Sequence[Taken] = (),
    drawn: NDArray[np.int64] | None = None,
) -> DataLoader[Example]:
    """Batches of rows that have source_ids and target_ids, made up as `TokenBudgetSampler` says.

    With `linked_by`, the tokenizers that made the ids, batches have `link_weights`. `epoch`, `rank`, `world_size` and
    `taken` are the sampler's. `drawn` are the rows that an epoch has, some maybe several times; None: each once.
    """
    lengths = [_lengths(rows, column) for column in ("source_ids", "target_ids")]
    sampler = TokenBudgetSampler(
        *(lengths if drawn is None else [column[drawn] for column in lengths]),
        indices=drawn,
        tokens_per_batch=tokens_per_batch,
        shuffle=shuffle,
        seed=seed,
        epoch=epoch,
        rank=rank,
        world_size=world_size,
        taken=taken,
    )
    return loader_of(
        Examples(rows, linked_by), num_workers=num_workers, seed=seed, batch_sampler=sampler, collate_fn=collate
    )


def loader_of(data: Dataset[Any], *, num_workers: int, seed: int, **options: Any) -> DataLoader[Any]:
    """PyTorch's loader of a data set, whose random numbers are its own."""
    return DataLoader(
        data,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        # A loader draws a seed whenever it is iterated: not from the generator of the model's dropout.
        generator=torch.Generator().manual_seed(seed),
        **options,
    )


def _lengths(rows: datasets.Dataset, column: str) -> np.ndarray:
    """How many ids each row has, EOS counted: (rows,), of the smallest type that holds them."""
    lengths, pages = [np.empty(0, np.uint8)], MappedPages(rows)
    for chunk in rows.data.column(column).chunks:  # Arrow would keep the memory of a large result for later
        found = pc.list_value_length(chunk).to_numpy() + 1
        lengths.append(found.astype(np.min_scalar_type(found.max(initial=0))))
        pages.release()
    return np.concatenate(lengths)
