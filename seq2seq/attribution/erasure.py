"""Erasure: what the forced token loses when a word is taken away."""

import torch

from seq2seq.attribution.forced import Forced
from seq2seq.attribution.method import Contributions, Method


class Erasure(Method):
    """log p(token) - log p(token | the word erased), for each word read (Li, Monroe & Jurafsky 2016, eq. 1).

    A word is erased by zeros in place of the embeddings of all its pieces. So every model has it, recurrent ones too;
    no other word moves to another place; and it is the baseline of `IntegratedGradients`. To hide a word from attention
    would leave it in a recurrent encoder's states, to leave it out would move all words behind it, and the embedding
    of `<unk>` has never been trained where the vocabulary can say everything.

    One forward pass a word, many at once. Words that can stand in for each other share no blame: each alone may be
    erased at little cost.
    """

    name = "erasure"
    meaning = "nats of log-probability lost when the word is erased"
    of_token = True

    @torch.no_grad()
    def __call__(self, forced: Forced) -> Contributions:
        """Return the contributions for a pair."""
        whole = forced(forced.source, forced.prefix)
        num_source, num_prefix = (int(units.max()) + 1 for units in (forced.source_units, forced.prefix_units))
        lost = whole.new_zeros(num_source + num_prefix, forced.steps)
        for part in forced.batches(len(lost)):
            units = torch.arange(part.start, part.stop, device=lost.device)
            # The same words are read in every row but one: the first rows want another source, the others a prefix.
            kept_source = (units[:, None] != forced.source_units).unsqueeze(-1)
            kept_prefix = (units[:, None] - num_source != forced.prefix_units).unsqueeze(-1)
            source = forced.source * kept_source if part.start < num_source else forced.source
            lost[part] = whole - forced(source, forced.prefix * kept_prefix)
        return Contributions(lost[:num_source].T, lost[num_source:].T)
