"""All attention of given sentence pairs, by one forced pass: what every picture is drawn from."""

from collections.abc import Sequence

import torch

from seq2seq.alignment.maps import AttentionMap, attention_maps
from seq2seq.alignment.sentence import Sentence
from seq2seq.attention import record_attention
from seq2seq.data.batching import collate
from seq2seq.models import EncoderDecoder


@torch.no_grad()
def inspect_pairs(model: EncoderDecoder, pairs: Sequence[tuple[Sentence, Sentence]]) -> list[list[AttentionMap]]:
    """Return for each (source, target) every attention of the model while it is forced to say the target.

    The target may be a reference, or a hypothesis of any search: the weights are those that the search had.
    """
    if not pairs:
        return []
    batch = collate([(source.ids, target.ids, i) for i, (source, target) in enumerate(pairs)])
    batch = batch.to(next(model.parameters()).device)
    was_training = model.training
    model.eval()
    with record_attention(model) as record:
        model.features(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
    model.train(was_training)
    weights, seen = dict(record), record.seen()
    return [list(attention_maps(weights, i, *pair, seen=seen)) for i, pair in enumerate(pairs)]
