"""All attention of one sentence pair, each head with the tokens that its rows and columns stand for."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq.alignment.sentence import Axis, Sentence
from seq2seq.alignment.shares import nowhere, remark, shares
from seq2seq.alignment.words import merge_pieces
from seq2seq.models.encoder_decoder import Site, site_of


class View(NamedTuple):
    """Shares (`shares`) with a label for every row and column."""

    weights: Tensor  # (heads, query, key); rows sum to at most 1
    nowhere: Tensor  # (heads, query): what each row gives to no key
    query_labels: list[str]
    key_labels: list[str]
    together: Tensor | None = None  # (query, key) of all heads, where that is not their mean

    def of(self, head: int | None) -> tuple[Tensor, Tensor]:
        """Return the shares `(query, key)` of a head, or of all together for None, and what goes nowhere."""
        if head is None and self.together is not None:
            return self.together, self.nowhere.mean(0)
        weights, rest = ((part.mean(0) if head is None else part[head]) for part in (self.weights, self.nowhere))
        return weights, rest


class AttentionMap(NamedTuple):
    """The attention of one layer over one sentence pair.

    A row of cross-attention bears the token that it predicts, or where it is read at the input that is fed in; those of
    causal self-attention, the tokens fed in.
    """

    name: str  # of the module
    site: Site
    weights: Tensor  # (heads, query pieces, key pieces) as they are, float32 on the CPU
    query: Axis
    key: Axis
    seen: Tensor | None = None  # bool of the weights' shape: what a pattern shows; None: no pattern, or not known
    read: Tensor | None = None  # shares of a reading, of several heads all together first; None: those of the weights

    def view(self, unit: str) -> View:
        """Return the shares between `words` or between `pieces`."""
        given = shares(self.weights) if self.read is None else self.read
        rows = torch.cat((given, nowhere(given).unsqueeze(-1)), dim=-1)
        if unit == "words":
            rows = merge_pieces(rows, self.query.word_of_piece, [*self.key.word_of_piece, len(self.key.words)])
            # The last words may have no pieces.
            rows = F.pad(rows, (0, 0, 0, len(self.query.words) - rows.shape[-2]))
        labels, several = (self.query.labels(unit), self.key.labels(unit)), len(self.weights) > 1
        if self.read is None or not several:
            return View(rows[..., :-1], rows[..., -1], *labels)
        return View(rows[1:, :, :-1], rows[1:, :, -1], *labels, rows[0, :, :-1])

    def remark(self, head: int | None) -> str:
        """Return what a reader must know of how the weights of a head, or of all for None, became shares."""
        return remark(self.weights if head is None else self.weights[head])


def attention_maps(
    record: Mapping[str, Tensor],
    index: int,
    source: Sentence,
    target: Sentence,
    *,
    seen: Mapping[str, Tensor] | None = None,
    read: Mapping[str, Tensor] | None = None,
) -> Iterator[AttentionMap]:
    """Yield every attention that a record holds of sentence pair `index` of its batch, without the padding.

    Args:
        record: weights `(batch, heads, query, key)` by module name, of a forced pass over `target`.
        index: which pair of the batch.
        source: its source.
        target: what was forced.
        seen: what patterns let the queries see, as `AttentionRecord.seen`.
        read: shares of a reading, of several heads all together first, where they are not those of the weights.
    """
    axes = {
        "cross": (target.ending(), source.ending()),
        "encoder": (source.ending(), source.ending()),
        "decoder": (target.beginning(), target.beginning()),
    }
    for name, weights in record.items():
        site = site_of(name)
        query, key = axes[site.kind]
        shown, shares_ = (None if by_name is None else by_name.get(name) for by_name in (seen, read))

        def cut(x: Tensor, rows: int = len(query.pieces), columns: int = len(key.pieces)) -> Tensor:
            return x[index, :, :rows, :columns].cpu()

        yield AttentionMap(
            name,
            site,
            cut(weights).float(),
            query,
            key,
            seen=None if shown is None else cut(shown),
            read=None if shares_ is None else cut(shares_),
        )
