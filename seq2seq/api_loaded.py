"""A trained model in memory: alone or with others, on a device, with a tag before its sources."""

import copy
from typing import Self

from seq2seq.alignment.sentence import Sentence, readable, sentence_of
from seq2seq.api_arguments import text
from seq2seq.build import find_device
from seq2seq.build_ensemble import check_one_vocabulary, load_models, shortest_limit
from seq2seq.build_tags import with_tag
from seq2seq.checkpoint import AlignmentChoice, Checkpoint
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.decoding.ensemble import Ensemble
from seq2seq.decoding.interface import set_apart
from seq2seq.decoding.translator import Translator
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder

TOKENS_PER_BATCH = 8192
"""Pieces of a batch, padding included."""


class LoadedModel:
    """One model, or several that say one thing together, with their vocabulary. `Model` is what one asks of it.

    Args:
        checkpoint: as `read_checkpoint` returns it.
        others: of models that translate and score together with it; they have no attention together.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, ...
        ensemble: how they say one thing: the `log` or the `linear` mean of their probabilities.
        tag: what stands before every source, of a model that was trained with tags, such as `2de`.

    Raises:
        UserError: a checkpoint or the device cannot be used; the models have different vocabularies; they need a tag,
            or do not know this one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *others: Checkpoint,
        device: str = "auto",
        ensemble: str = "log",
        tag: str | None = None,
    ) -> None:
        if not all(isinstance(each, Checkpoint) for each in (checkpoint, *others)):
            raise UserError("a model is made of what a checkpoint holds; for a file say seq2seq.load(path)")
        self.checkpoint = checkpoint
        self.others = others
        together = checkpoint, *others
        self.network, tokenizers = load_models(together, find_device(device), mean=ensemble)
        self._read(with_tag(tokenizers, tag, together))

    def _read(self, tokenizers: Tokenizers) -> None:
        self.tokenizers = tokenizers
        limit = shortest_limit((self.checkpoint, *self.others))
        self._translator = Translator(self.network, tokenizers, tokens_per_batch=TOKENS_PER_BATCH, max_length=limit)

    @property
    def tags(self) -> list[str]:
        """The tags that the model knows."""
        return sorted(self.tokenizers.source.tag_ids)

    def tagged(self, tag: str | None) -> Self:
        """Return the same model with another tag before every source; None: with none.

        Raises:
            UserError: it does not know that tag, or needs one.
        """
        made = copy.copy(self)
        plain = self.tokenizers._replace(source=self.tokenizers.source.tagged(""))
        made._read(with_tag(plain, tag, (self.checkpoint, *self.others)))
        return made

    def joined(self, *others: Self, ensemble: str = "log") -> Self:
        """Return this model and others as one that translates and scores; it holds no copy of their weights.

        Args:
            others: of the same vocabulary, on the same device.
            ensemble: how they say one thing: the `log` or the `linear` mean of their probabilities.

        Raises:
            UserError: the models have different vocabularies; there is no such mean.
        """
        if not all(isinstance(other, LoadedModel) for other in others):
            raise UserError("joined takes models, as seq2seq.load returns them, one after the other")
        made = copy.copy(self)
        made.others = tuple(other.checkpoint for other in others)
        check_one_vocabulary((made.checkpoint, *made.others))
        made.network = Ensemble([self.alone(), *(other.alone() for other in others)], mean=ensemble)
        made._read(self.tokenizers)
        return made

    def __repr__(self) -> str:
        config = self.checkpoint.config
        more = f" and {len(self.others)} more" if self.others else ""
        name = f"{config.get('run_name', '')} of {self.checkpoint.path}{more}"
        return f"<seq2seq model {name}, on {self._translator.device}>"

    def alone(self) -> EncoderDecoder:
        """Return the PyTorch module of one model; raise UserError where there are several together."""
        if not isinstance(self.network, EncoderDecoder):
            raise UserError("several models together have no attention; load one of them")
        return self.network

    def _apart(self) -> EncoderDecoder:
        """Return a copy of the one model that shares its weights: another thread may ask the model meanwhile."""
        return set_apart(self.alone())

    def _alignment(self) -> AlignmentChoice:
        if self.checkpoint.alignment is None:
            raise UserError(
                f"{self.checkpoint.path} has no attention to align with: a bottleneck has none, and of another model "
                "the first validation chooses it; give another checkpoint"
            )
        return self.checkpoint.alignment

    def _sentence(self, name: str, said: str) -> Sentence:
        tokenizer = getattr(self.tokenizers, name)
        sentence = sentence_of(tokenizer, text(name, said), max_length=self.checkpoint.max_length)
        if not sentence.ids:
            raise UserError(f"{name}={said!r} has nothing that the model reads; give a sentence")
        return readable(sentence)
