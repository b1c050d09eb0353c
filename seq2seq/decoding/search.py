"""The searches. They know of a model only `begin`, `step`, `state.reorder` and `state.select`."""

from collections.abc import Sequence

import torch

from seq2seq.data.batching import Batch
from seq2seq.decoding.beam import BeamSearch, power_penalty, wu_penalty
from seq2seq.decoding.diverse import DiverseBeamSearch
from seq2seq.decoding.greedy import GreedySearch
from seq2seq.decoding.interface import (
    Hypothesis,
    Key,
    LengthPenalty,
    Request,
    Search,
    Searchable,
    length_limits,
    next_log_probabilities,
)
from seq2seq.decoding.sampling import SampleSearch
from seq2seq.errors import UserError

__all__ = [
    "BeamSearch",
    "DiverseBeamSearch",
    "GreedySearch",
    "Hypothesis",
    "Key",
    "LengthPenalty",
    "Request",
    "SampleSearch",
    "Search",
    "Searchable",
    "length_limits",
    "next_log_probabilities",
    "power_penalty",
    "search_batch",
    "wu_penalty",
]


def search_batch(
    search: Search,
    model: Searchable,
    batch: Batch,
    *,
    key: Key | None = None,
    requests: Sequence[Request] | None = None,
) -> list[list[Hypothesis]]:
    """Return what a search finds for each source of a batch; for an empty one, which is EOS alone, the empty text.

    Args:
        search: how.
        model: what is searched.
        batch: its sources count.
        key: as `Search`.
        requests: one for each source; None: each is the sentence of its index, of which nothing is asked.

    Raises:
        UserError: nothing was found that meets a request.
    """
    requests = [Request(number) for number in batch.indices.tolist()] if requests is None else requests
    lengths = batch.source_lengths.tolist()
    wanted = [length > 1 or request.least > 0 for length, request in zip(lengths, requests, strict=True)]
    found: list[list[Hypothesis]] = []
    asked = list(requests)
    if all(wanted):
        found = search(model, batch.source, batch.source_mask, batch.source_lengths, key=key, requests=requests)
    elif any(wanted):
        some = torch.tensor(wanted, device=batch.source.device)
        asked = [request for request, is_wanted in zip(requests, wanted, strict=True) if is_wanted]
        sources = batch.source[some], batch.source_mask[some], batch.source_lengths[some]
        found = search(model, *sources, key=key, requests=asked)
    for request, hypotheses in zip(asked, found, strict=False):
        if not hypotheses:
            where = request.where or f"sentence {request.number}"
            raise UserError(f"{where}: no translation was found that says what is asked, and may; ask for less")
    rest = iter(found)
    return [next(rest) if is_wanted else [Hypothesis([], 0.0, 0.0)] for is_wanted in wanted]
