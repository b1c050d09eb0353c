"""A model that is forced to say a target: the log-probability of each token, as a function of what the model reads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.data.batching import collate
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder, EncoderOutput

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


def unwatched(done: int, of: int) -> None:
    """Tell nobody."""


class Forced:
    """One sentence pair in a model: S source tokens with `</s>`, and T steps, each of which reads a token and says one.

    Called with embeddings of the source (batch, S, d) and of the tokens before (batch, T, d), it returns the
    log-probability of the forced token at every step, (batch, T). One of the two may have a batch of one.

    Args:
        model: in evaluation mode, on its device.
        source_ids: pieces of the source, without `</s>`.
        target_ids: pieces of the target, without `<s>` and `</s>`.
        source_units: for each of the S tokens the unit (a word or a piece) that it belongs to, in order from 0.
        prefix_units: likewise for each of the T tokens that are read, `<s>` first.
        tokens_per_batch: tokens of both sides that are computed at once.
        progress: is told how far a method is.

    Raises:
        UserError: the model has no table of embeddings where ours have it.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        source_ids: Sequence[int],
        target_ids: Sequence[int],
        *,
        source_units: Sequence[int],
        prefix_units: Sequence[int],
        tokens_per_batch: int = 8192,
        progress: Progress = unwatched,
    ) -> None:
        self.model = model
        self.tokens_per_batch = tokens_per_batch
        self.progress = progress
        self.batch = collate([(source_ids, target_ids, 0)]).to(next(model.parameters()).device)
        self.tables = table_of(model.encoder), table_of(model.decoder)
        self.source_units = torch.tensor(source_units, device=self.batch.source.device)
        self.prefix_units = torch.tensor(prefix_units, device=self.batch.source.device)
        with torch.no_grad():
            self.source: Tensor = self.tables[0](self.batch.source)
            self.prefix: Tensor = self.tables[1](self.batch.target_input)

    @property
    def steps(self) -> int:
        """T."""
        return self.prefix.shape[1]

    def __call__(self, source: Tensor, prefix: Tensor) -> Tensor:
        """Return the log-probabilities (batch, T), as the class says."""
        said = self.batch.target_output.view(1, -1, 1)
        logs = self.log_softmax(source, prefix)
        return logs.gather(-1, said.expand(len(logs), -1, -1)).squeeze(-1)

    def log_softmax(self, source: Tensor, prefix: Tensor) -> Tensor:
        """Return the log-probabilities of the whole vocabulary at every step, (batch, T, vocab)."""
        batch, size = self.batch, max(len(source), len(prefix))
        with reading(self.tables[0], source):
            read = len(source), -1
            lengths = batch.source_lengths.expand(len(source))
            encoded = self.model.encode(batch.source.expand(read), batch.source_mask.expand(read), lengths)
        encoded = EncoderOutput(*(x.expand(size, *x.shape[1:]) for x in encoded))
        state = self.model.decoder.begin(encoded)
        with reading(self.tables[1], prefix.expand(size, -1, -1)):
            features = self.model.decoder(batch.target_input.expand(size, -1), state)
        logits: Tensor = self.model.output(features)
        return logits.log_softmax(-1)

    def batches(self, count: int) -> Iterator[slice]:
        """Yield stretches of `count` variants of the pair, each small enough to be computed at once."""
        size = max(1, self.tokens_per_batch // (self.source.shape[1] + self.steps))
        for start in range(0, count, size):
            end = min(start + size, count)
            yield slice(start, end)
            self.progress(end, count)

    def sum_units(self, source: Tensor, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """Return contributions (steps, units) of both sides, from those of single tokens, (steps, S) and (steps, T)."""
        return sum_columns(source, self.source_units), sum_columns(prefix, self.prefix_units)


def sum_columns(x: Tensor, groups: Tensor) -> Tensor:
    """Return (rows, groups) of (rows, columns): the columns of each group, added up."""
    return x.new_zeros(len(x), int(groups.max()) + 1).index_add(1, groups, x)


def table_of(side: Any) -> nn.Module:
    """Return what turns the ids of a side, the encoder or the decoder, into embeddings.

    Raises:
        UserError: it has no such part.
    """
    table = getattr(getattr(side, "embedding", side), "table", None)
    if not isinstance(table, nn.Module):
        raise UserError(
            f"{type(side).__name__} has neither `table` nor `embedding.table`, its embeddings, so nothing can be said "
            "of what it reads; name them so"
        )
    return table


@contextmanager
def reading(table: nn.Module, embeddings: Tensor) -> Iterator[None]:
    """Let a model read these embeddings, whatever the ids."""
    handle = table.register_forward_hook(lambda *_: embeddings)
    try:
        yield
    finally:
        handle.remove()
