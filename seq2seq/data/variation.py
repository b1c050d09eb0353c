"""How training text is read anew in every epoch: in another segmentation, and with noise on the source."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from zlib import crc32

import datasets

from seq2seq.data.encoding import IDS, ROWS_A_CHUNK, write_rows
from seq2seq.data.mapped_pages import MappedPages
from seq2seq.data.noise import Noise
from seq2seq.data.pair import Pair
from seq2seq.data.tokenizer import UNK, Tokenizer, Tokenizers, marked
from seq2seq.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What varies, and what it follows from: seed, epoch and the number of the pair alone.

    `sampling` is as `TokenizerConfig`. Where ids would exceed `max_length` the best segmentation of the plain text
    stands.
    """

    sampling: float
    noise: Noise
    max_length: int
    seed: int

    def __bool__(self) -> bool:
        return bool(self.sampling or self.noise)

    def check_linked(self) -> None:
        """Raises UserError where the text varies: links are spread over the pieces of a text that does not."""
        if self:
            key = "tokenizer.sampling" if self.sampling else "noise"
            raise UserError(
                "training.guided_alignment needs the pieces that the links were spread over, "
                f"which {key} changes: set that to 0, or training.guided_alignment.weight=0"
            )

    def encode(self, tokenizers: Tokenizers, pair: Pair, *, index: int, epoch: int) -> tuple[list[int], list[int]]:
        """The ids of both sides of pair `index` in an epoch."""
        source, target = marked(tokenizers.source, pair.tag), tokenizers.target
        parts: list[str | None] = [pair.source]
        if self.noise:
            parts = self.noise.parts(pair.source, Random(crc32(f"noise {self.seed} {epoch} {index}".encode())))
        seeds = [crc32(f"{self.seed} {epoch} {index} {side}".encode()) for side in (0, 1)]
        return (
            self._within(source, pair.source, self._source_ids(source, parts, seeds[0])),
            self._within(target, pair.target, self._ids(target, pair.target, seeds[1])),
        )

    def _source_ids(self, tokenizer: Tokenizer, parts: list[str | None], seed: int) -> list[int]:
        plain = tokenizer.tagged("")
        ids = [i for part in parts for i in ([UNK] if part is None else self._ids(plain, part, seed))]
        return tokenizer.after_tag(ids)

    def _ids(self, tokenizer: Tokenizer, text: str, seed: int) -> list[int]:
        return (
            tokenizer.encode_sampled(text, alpha=self.sampling, seed=seed) if self.sampling else tokenizer.encode(text)
        )

    def _within(self, tokenizer: Tokenizer, text: str, ids: list[int]) -> list[int]:
        return ids if 0 < len(ids) <= self.max_length else tokenizer.encode(text)


def varied_ids(
    rows: datasets.Dataset, tokenizers: Tokenizers, variation: Variation, *, epoch: int, path: Path
) -> datasets.Dataset:
    """The ids of each row in an epoch, as columns source_ids and target_ids of a file written at `path`."""

    def encoded() -> Iterator[dict[str, object]]:
        texts = rows.select_columns([*Pair._fields])
        pages = MappedPages(texts)
        for number, chunk in enumerate(texts.iter(ROWS_A_CHUNK)):
            pairs = map(Pair, *(chunk[name] for name in Pair._fields))
            for index, pair in enumerate(pairs, start=number * ROWS_A_CHUNK):
                source, target = variation.encode(tokenizers, pair, index=index, epoch=epoch)
                yield {"source_ids": source, "target_ids": target}
            pages.release()

    write_rows(path, encoded(), IDS)
    return datasets.Dataset.from_file(str(path))
