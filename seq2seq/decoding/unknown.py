"""What stands for a piece that the vocabulary lacks: a source word, where attention points (Luong et al. 2015, 3)."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.alignment.sentence import Sentence, sentence_of
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import collate
from seq2seq.data.text import nfc
from seq2seq.data.tokenizer import UNK, Tokenizer
from seq2seq.decoding.interface import set_apart
from seq2seq.models import EncoderDecoder
from seq2seq.reading import record_pass

MARK = "⁇"
"""What a tokenizer writes for an unknown piece."""


class UnknownCopy:
    """Says in place of each `<unk>` of a translation what the source has there.

    One forced pass shows where the model looks while it says `<unk>`. Of the source word that has most of the weight,
    the part that the vocabulary lacks is copied, or where it knows the word, all of it.

    It works on a copy of the modules, which shares their weights: searches may use the model at the same time.

    Args:
        model: in evaluation mode, on its device.
        target: the tokenizer of its target.
        choice: the attention and head that align best.
    """

    def __init__(self, model: EncoderDecoder, target: Tokenizer, choice: AlignmentChoice) -> None:
        self.model = set_apart(model)
        self.target = target
        self.choice = choice

    def text(self, source: str, read_by: Tokenizer, source_ids: Sequence[int], target_ids: Sequence[int]) -> str:
        """Return the text of a translation.

        Args:
            source: the text that was translated.
            read_by: its tokenizer, with the tag of this text if it has one.
            source_ids: as the model read it, which may be cut.
            target_ids: what it said, without BOS and EOS.
        """
        if UNK not in target_ids:
            return self.target.decode(list(target_ids))
        read = sentence_of(read_by, source, max_length=len(source_ids))
        weights = self._weights(source_ids, target_ids)
        parts = [
            pointed_at(read, row[: len(read.ids)]) for row, i in zip(weights, target_ids, strict=False) if i == UNK
        ]
        return with_parts(self.target, target_ids, parts)

    @torch.no_grad()
    def _weights(self, source_ids: Sequence[int], target_ids: Sequence[int]) -> Tensor:
        """Return where the model looks, (target pieces + 1, source pieces + 1)."""
        batch = collate([(source_ids, target_ids, 0)]).to(next(self.model.parameters()).device)
        with record_pass(self.model, names={self.choice.layer}, norms=self.choice.quantity == "norms") as seen:
            self.model.features(
                batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
            )
        weights = self.choice.reading(seen, self.choice.layer, batch.target_lengths)[0]
        return weights[0 if self.choice.head is None or len(weights) == 1 else self.choice.head + 1].float().cpu()


def pointed_at(read: Sentence, weights: Tensor) -> str:
    """Return the source word of most weight, or that part of it which the vocabulary lacks.

    Args:
        read: the source.
        weights: of its pieces, (source pieces,).
    """
    shares = [0.0] * len(read.words)
    for word, weight in zip(read.word_of_piece, weights.tolist(), strict=True):
        if word >= 0:
            shares[word] += weight
    word = max(range(len(shares)), key=shares.__getitem__)
    own = [i for i, of in enumerate(read.word_of_piece) if of == word]
    unknown = [i for i in own if read.ids[i] == UNK]
    known = "".join("(.+?)" if read.ids[i] == UNK else re.escape(read.pieces[i].removeprefix("▁")) for i in own)
    found = re.fullmatch(known, nfc(read.words[word]))
    if not unknown or found is None:
        return read.words[word]
    return found[1 + max(range(len(unknown)), key=lambda i: float(weights[unknown[i]]))]


def with_parts(tokenizer: Tokenizer, ids: Sequence[int], parts: Sequence[str]) -> str:
    """Return the text of some ids with parts of text in the place of the unknown ones, in their order."""
    written = tokenizer.decode([UNK])  # SentencePiece sets it between spaces
    if MARK not in written:
        return tokenizer.decode(list(ids))
    left, right = written.split(MARK)
    between = tokenizer.decode(list(ids)).split(MARK)
    places: list[str | None] = []  # for each mark in the text the part in its place; None: the text itself has it
    rest = iter(parts)
    for i, piece in zip(ids, tokenizer.pieces(list(ids)), strict=True):
        places += [next(rest)] if i == UNK else [None] * piece.count(MARK)
    text = between[0]
    for place, after in zip(places, between[1:], strict=True):
        if place is None:
            text += MARK + after
        else:
            text = text.removesuffix(left) + place + after.removeprefix(right)
    return text
