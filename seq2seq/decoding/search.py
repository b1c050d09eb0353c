"""The searches. They know of a model only `begin`, `step`, `state.reorder` and `state.select`."""

import logging
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


log = logging.getLogger(__name__)

REPEATS = "its line is translated without search.no_repeat_ngram"
EMPTY = "its line is left empty; ask for less, or search with a larger beam"
"""What becomes of a sentence for which nothing was found at first."""


def search_batch(
    search: Search,
    model: Searchable,
    batch: Batch,
    *,
    key: Key | None = None,
    requests: Sequence[Request] | None = None,
    lenient: bool = False,
) -> list[list[Hypothesis]]:
    """Return what a search finds for each source of a batch; for an empty one, which is EOS alone, the empty text.

    Args:
        search: how.
        model: what is searched.
        batch: its sources count.
        key: as `Search`.
        requests: one for each source; None: each is the sentence of its index, of which nothing is asked.
        lenient: whether a sentence for which nothing is found that meets its request is searched again without
            `no_repeat_ngram`, and has no hypotheses where that does not help; a warning names it.

    Raises:
        UserError: nothing was found that meets a request, unless lenient; the model's logits are no numbers.
    """
    asked = [Request(number) for number in batch.indices.tolist()] if requests is None else requests
    found = [[Hypothesis([], 0.0, 0.0)] for _ in asked]

    def look(search: Search, rows: list[int]) -> list[int]:
        """Search for some sentences, and return those for which nothing was found."""
        some = slice(None) if len(rows) == len(found) else torch.tensor(rows, device=batch.source.device)
        sources = batch.source[some], batch.source_mask[some], batch.source_lengths[some]
        results = search(model, *sources, key=key, requests=[asked[i] for i in rows])
        for i, hypotheses in zip(rows, results, strict=True):
            found[i] = hypotheses
        return [i for i in rows if not found[i]]

    lengths = batch.source_lengths.tolist()
    wanted = [i for i, request in enumerate(asked) if lengths[i] > 1 or request.least > 0]
    stuck = look(search, wanted) if wanted else []
    for i in stuck:
        if asked[i].prefix is None and asked[i].constraints is None:  # then even the end alone is a translation
            raise UserError(
                f"sentence {asked[i].number}: nothing was found, since what the model computes of it is no number "
                "(nan); take another checkpoint, or precision=float32"
            )
    freer = search.allowing_repeats() if stuck and lenient else None
    rest = look(freer, stuck) if freer else stuck
    for i in stuck:
        where = asked[i].where or f"sentence {asked[i].number}"
        nothing = f"{where}: no translation was found that keeps to what is asked"
        if not lenient:
            raise UserError(f"{nothing}; ask for less")
        log.warning("%s; %s", nothing, EMPTY if i in rest else REPEATS)
    return found
