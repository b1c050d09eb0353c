"""Did the model go by these words? Source words are erased in the order of a ranking (DeYoung et al. 2020, 4)."""

from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.attribution.forced import Forced, sum_columns
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.reading import record_pass

ERASED = (1, 2, 3, 5)
"""How many words are erased, or left; measures are means over these."""


class Faithfulness(NamedTuple):
    """What log p of each forced token loses, in nats: (steps,) each."""

    comprehensiveness: Tensor  # without the words that rank highest: a good ranking makes it large
    sufficiency: Tensor  # with those words alone: a good ranking makes it small


@torch.no_grad()
def faithfulness(forced: Forced, importance: Tensor) -> Faithfulness:
    """Return the means over `ERASED` of what is lost without the k most important source words, and with them alone.

        comprehensiveness = mean_k log p(y) - log p(y | the k highest erased)
        sufficiency       = mean_k log p(y) - log p(y | all but the k highest erased)

    A word is erased as `Erasure` does it, by zeros for its embeddings. So a ranking by erasure of single words has an
    advantage here, and one by integrated gradients, whose baseline they are.

    Args:
        forced: the pair.
        importance: (steps, source units), of each unit for each step; equal ones rank in their order.
    """
    steps, units = importance.shape
    rank = importance.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    counts = [k for k in ERASED if k < units] or [1]
    highest = torch.stack([rank < k for k in counts])
    kept = torch.cat((~highest, highest)).flatten(0, 1)  # (2 · counts · steps, units)
    whole, lost = forced(forced.source, forced.prefix)[0], importance.new_zeros(len(kept), dtype=forced.source.dtype)
    for part in forced.batches(len(kept)):
        step = torch.arange(part.start, part.stop, device=rank.device) % steps
        read = forced.source * kept[part][:, forced.source_units].unsqueeze(-1)
        lost[part] = whole[step] - forced(read, forced.prefix).gather(1, step[:, None]).squeeze(1)
    return Faithfulness(*lost.view(2, len(counts), steps).mean(1))


@torch.no_grad()
def attention_ranking(forced: Forced, choice: AlignmentChoice) -> Tensor:
    """Return the shares (steps, source units) of what is the model's alignment, read as it was chosen."""
    batch, reading = forced.batch, choice.reading
    with record_pass(forced.model, names={choice.layer}, norms=reading.quantity == "norms") as seen:
        forced.model.features(
            batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
        )
    found = reading(seen, choice.layer, batch.target_lengths)[0]  # of several heads all together first
    head = 0 if choice.head is None or len(found) == 1 else choice.head + 1
    return sum_columns(found[head], forced.source_units)
