"""The splits of a corpus as ids, opened once, and what is said of each: pairs dropped, lines cut, text lost."""

import hashlib
import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq.data.cache import built_sums
from seq2seq.data.corpus import Corpus
from seq2seq.data.encoding import (
    REMEDIES,
    EncodedSplit,
    dropped_counts,
    encode_pair,
    encoded_split,
    fault,
    trained_tokenizers,
)
from seq2seq.data.fidelity import Losses, describe_losses
from seq2seq.data.loader import LoaderConfig
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.units import VocabularyConfig
from seq2seq.errors import UserError, counted

logger = logging.getLogger(__name__)

STREAM_LOOKED_AT = 1_000
"""Training pairs of a stream in which is counted what the tokenizers lose."""


class EncodedSplits:
    """The splits of a corpus; tokenizers and ids come from the cache or are made there, by one process under a lock.

    Training pairs are dropped by the loader's `max_length` and `max_ratio`; all others are kept, and cut to
    `max_length` with a warning. `tokenizers` are those of a run that goes on; without them they are trained on the
    corpus.
    """

    def __init__(
        self,
        corpus: Corpus,
        config: VocabularyConfig,
        loader: LoaderConfig,
        *,
        tokenizers: Tokenizers | None = None,
    ) -> None:
        self.corpus, self.config = corpus, config
        self.max_length, self.max_ratio = loader.max_length, loader.max_ratio
        self.cache_dir = Path(loader.cache_dir).expanduser()
        self._given_tokenizers = tokenizers
        self._opened: dict[str, EncodedSplit] = {}

    def fill_cache(self) -> None:
        """Trains the tokenizers and encodes the val split, and the train split if it is not streamed."""
        tokenizers = self._made_tokenizers()
        for split in ("val",) if self.corpus.streaming else ("train", "val"):
            self._encoded(split, tokenizers)

    def open(self) -> Tokenizers:
        """Reports on the training pairs, of a stream on the first of them; gives the tokenizers."""
        self.tokenizers = self._made_tokenizers()
        if self.corpus.streaming:
            self._look_at_stream()
        else:
            self.split("train")
        return self.tokenizers

    def _look_at_stream(self) -> None:
        """Reports on the first training pairs of a stream."""
        losses, dropped, seen = Losses(self.tokenizers, sample=False), dict.fromkeys(REMEDIES, 0), 0
        for seen, pair in enumerate(islice(self.corpus.pairs("train"), STREAM_LOOKED_AT), start=1):
            ids = encode_pair(self.tokenizers, pair)
            if reason := fault(len(ids[0]), len(ids[1]), self.max_length, self.max_ratio):
                dropped[reason] += 1
            else:
                losses.add(pair, ids, seen)
        if counts := dropped_counts(dropped):
            logger.info("train: of the first %d pairs of the stream %s are dropped", seen, counts)
        self._say_losses("train", losses.as_data())

    def split(self, split: str) -> EncodedSplit:
        """A split, opened and reported on once; a test split is encoded when it is first asked for."""
        if split not in self._opened:
            self._opened[split] = encoded = self._encoded(split, self.tokenizers)
            if counts := dropped_counts(encoded.dropped):
                logger.info("%s: %s, after %s were dropped", split, counted(len(encoded.dataset), "pairs"), counts)
            if encoded.cut:
                lines = ", ".join(map(str, encoded.cut[:10])) + (" ..." if len(encoded.cut) > 10 else "")
                logger.warning("%s: cut to %d pieces (loader.max_length): line %s", split, self.max_length, lines)
            self._say_losses(split, encoded.losses)
        return self._opened[split]

    def identity(self) -> dict[str, list[Any]]:
        """Of each split that training depends on: the number of pairs if it is known, fingerprint, and filters."""
        counts = {
            "train": None if self.corpus.streaming else len(self.split("train").dataset),
            "val": len(self.split("val").dataset),
        }
        filters: dict[str, list[Any]] = {"train": [self.max_length, self.max_ratio], "val": [self.max_length]}
        return {split: [counts[split], self.corpus.fingerprint(split), *filters[split]] for split in counts}

    def contents(self) -> dict[str, Any]:
        """What a training reads, by its content: alike on two hosts that have the same, in whatever place."""
        sums = {
            split: built_sums(Path(self.split(split).dataset.cache_files[0]["filename"]).parent)
            for split in (["val"] if self.corpus.streaming else ["train", "val"])
        }
        return {
            "the training data": sums.get("train") or self.corpus.fingerprint("train"),
            "the validation data": sums["val"],
            "the vocabulary": [hashlib.sha256(tokenizer.model_proto).hexdigest() for tokenizer in self.tokenizers],
        }

    def _made_tokenizers(self) -> Tokenizers:
        if self._given_tokenizers is None:
            return trained_tokenizers(self.corpus, self.config, self.cache_dir)
        lacking = [tag for tag in self.corpus.tags if tag not in self._given_tokenizers.source.tag_ids]
        if lacking:
            raise UserError(
                f"data.corpora: the vocabulary that the training starts with has no tag {lacking[0]}; "
                "say tokenizer.grow=true and a larger tokenizer.vocab_size, or leave that tag out"
            )
        return self._given_tokenizers

    def _encoded(self, split: str, tokenizers: Tokenizers) -> EncodedSplit:
        max_ratio = self.max_ratio if split == "train" else None
        return encoded_split(
            self.corpus, split, tokenizers, max_length=self.max_length, max_ratio=max_ratio, cache_dir=self.cache_dir
        )

    def _say_losses(self, split: str, counts: Sequence[dict[str, int]]) -> None:
        lost = describe_losses(counts, self.tokenizers, remedy=self.config.more_known)
        if lost:
            logger.warning("%s: %s", split, lost)
