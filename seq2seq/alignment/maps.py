"""All attention of one sentence pair, each head with the tokens that its rows and columns stand for."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from seq2seq.alignment.sentence import Axis, Sentence
from seq2seq.alignment.words import merge_pieces
from seq2seq.models.encoder_decoder import Site, site_of


class View(NamedTuple):
    """Weights with a label for every row and column."""

    weights: Tensor  # (heads, query, key)
    query_labels: list[str]
    key_labels: list[str]


class AttentionMap(NamedTuple):
    """The attention of one layer over one sentence pair.

    A row of cross-attention bears the token that it predicts; those of causal self-attention, the tokens fed in.
    """

    name: str  # of the module
    site: Site
    weights: Tensor  # (heads, query pieces, key pieces), float32 on the CPU
    query: Axis
    key: Axis

    def view(self, unit: str) -> View:
        """Return the weights between `words` or between `pieces`."""
        weights = self.weights
        if unit == "words":
            weights = merge_pieces(weights, self.query.word_of_piece, self.key.word_of_piece)
        return View(weights, self.query.labels(unit), self.key.labels(unit))


def attention_maps(
    record: Mapping[str, Tensor], index: int, source: Sentence, target: Sentence
) -> Iterator[AttentionMap]:
    """Yield every attention that a record holds of sentence pair `index` of its batch, without the padding.

    Args:
        record: weights `(batch, heads, query, key)` by module name, of a forced pass over `target`.
        index: which pair of the batch.
        source: its source.
        target: what was forced.
    """
    axes = {
        "cross": (target.ending(), source.ending()),
        "encoder": (source.ending(), source.ending()),
        "decoder": (target.beginning(), target.beginning()),
    }
    for name, weights in record.items():
        site = site_of(name)
        query, key = axes[site.kind]
        yield AttentionMap(
            name, site, weights[index, :, : len(query.pieces), : len(key.pieces)].float().cpu(), query, key
        )
