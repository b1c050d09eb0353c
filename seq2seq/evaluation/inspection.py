"""All attention of given sentence pairs, by one forced pass: what every picture is drawn from."""

from collections.abc import Sequence

import torch

from seq2seq.alignment.maps import AttentionMap, attention_maps
from seq2seq.alignment.sentence import Sentence
from seq2seq.data.batching import collate
from seq2seq.models import EncoderDecoder
from seq2seq.models.encoder_decoder import site_of
from seq2seq.reading import Reading, record_pass


@torch.no_grad()
def inspect_pairs(
    model: EncoderDecoder, pairs: Sequence[tuple[Sentence, Sentence]], *, reading: Reading | None = None
) -> list[list[AttentionMap]]:
    """Return for each (source, target) every attention of the model while it is forced to say the target.

    The target may be a reference, or a hypothesis of any search: the weights are those that the search had.

    Args:
        model: the model.
        pairs: the sentences.
        reading: of cross-attention; None: weights at the output.
    """
    if not pairs:
        return []
    batch = collate([(source.ids, target.ids, i) for i, (source, target) in enumerate(pairs)])
    batch = batch.to(next(model.parameters()).device)
    was_training = model.training
    model.eval()
    other = None if reading is None or str(reading) == "output_weights" else reading
    with record_pass(model, norms=other is not None and other.quantity == "norms") as seen:
        model.features(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
    model.train(was_training)
    weights, patterns = dict(seen.record), seen.record.seen()
    cross = [name for name in weights if other is not None and site_of(name).kind == "cross"]
    read = {name: other(seen, name, batch.target_lengths) for name in cross if other is not None}
    return [list(attention_maps(weights, i, *pair, seen=patterns, read=read)) for i, pair in enumerate(pairs)]
