"""Tokenizers trained on a corpus, and its splits as piece ids in memory-mapped Arrow files, both cached by content."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import datasets
import pyarrow as pa

from seq2seq.data.batching import PieceLinks
from seq2seq.data.cache import build_once, content_key
from seq2seq.data.corpus import Corpus
from seq2seq.data.fidelity import Losses
from seq2seq.data.pair import Pair
from seq2seq.data.tokenizer import Tokenizers, marked
from seq2seq.data.units import VocabularyConfig, tokenizer_of
from seq2seq.errors import UserError

FORMAT = 4  # part of every key: raise it when what the cache holds changes its meaning
IDS = pa.schema([(name, pa.list_(pa.int32())) for name in ("source_ids", "target_ids")])
PAIRS = pa.unify_schemas([pa.schema([(name, pa.string()) for name in Pair._fields]), IDS])
ROWS_A_CHUNK = 10_000


class EncodedSplit(NamedTuple):
    """The pairs of a split with their ids, and what the filters did to it."""

    dataset: datasets.Dataset  # columns of `Pair`, source_ids, target_ids; ids without BOS or EOS
    dropped: dict[str, int]  # pairs left out, by the reason
    cut: list[int]  # lines, counted from 1, whose ids were cut to the maximum length
    losses: list[dict[str, int]]  # what the tokenizers lose of source and target, for `describe_losses`


def trained_tokenizers(corpus: Corpus, config: VocabularyConfig, cache_dir: Path) -> Tokenizers:
    """The tokenizers of the corpus: trained on its train split, or from the cache."""
    key = content_key(format=FORMAT, train=corpus.fingerprint("train"), model=config.of_vocabulary(), tags=corpus.tags)

    def build(folder: Path) -> None:
        if config.joint:
            texts = (text for pair in corpus.pairs("train") for text in (pair.source, pair.target))
            (folder / "joint.model").write_bytes(_trained(texts, config, corpus.tags))
            return
        for side in ("source", "target"):
            texts = (getattr(pair, side) for pair in corpus.pairs("train"))
            tags = corpus.tags if side == "source" else ()
            (folder / f"{side}.model").write_bytes(_trained(texts, config, tags))

    folder = build_once(cache_dir / f"tokenizer-{key}", build)
    if config.joint:
        joint = tokenizer_of((folder / "joint.model").read_bytes())
        return Tokenizers(joint, joint)
    return Tokenizers(*(tokenizer_of((folder / f"{side}.model").read_bytes()) for side in ("source", "target")))


def _trained(lines: Iterable[str], config: VocabularyConfig, tags: Sequence[str]) -> bytes:
    return tokenizer_of(config.train(lines)).with_tags(tags).model_proto


def encoded_split(
    corpus: Corpus,
    split: str,
    tokenizers: Tokenizers,
    *,
    max_length: int,
    max_ratio: float | None,
    cache_dir: Path,
) -> EncodedSplit:
    """A split with its ids, encoded now or from the cache.

    With `max_ratio`, for training: pairs are dropped that have an empty side, a side of more than `max_length` pieces,
    or one side more than `max_ratio` times as long as the other. Without it, for evaluation: every pair is kept, so
    that every line gets its hypothesis, and only the ids are cut to `max_length`.
    """
    key = content_key(
        format=FORMAT,
        pairs=corpus.fingerprint(split),
        models=[hashlib.sha256(tokenizer.model_proto).hexdigest() for tokenizer in tokenizers],
        tag=tokenizers.source.tag,
        filters=[max_length, max_ratio],
    )

    def build(folder: Path) -> None:
        rows = _Encoder(tokenizers, max_length, max_ratio)
        write_rows(folder / "pairs.arrow", rows.encode(corpus.pairs(split)), PAIRS)
        if not rows.kept:
            raise nothing_left(split, rows.dropped)
        (folder / "filters.json").write_text(
            json.dumps({"dropped": rows.dropped, "cut": rows.cut, "losses": rows.losses.as_data()})
        )

    folder = build_once(cache_dir / f"pairs-{key}", build)
    filters = json.loads((folder / "filters.json").read_text())
    return EncodedSplit(datasets.Dataset.from_file(str(folder / "pairs.arrow")), **filters)


def first_rows(
    corpus: Corpus, split: str, tokenizers: Tokenizers, *, max_length: int, sentences: int | None, cache_dir: str
) -> datasets.Dataset:
    """The rows of a split for evaluation, from its start; `sentences` is how many, None: all."""
    rows = encoded_split(
        corpus, split, tokenizers, max_length=max_length, max_ratio=None, cache_dir=Path(cache_dir)
    ).dataset
    return rows if sentences is None else rows.select(range(min(sentences, len(rows))))


REMEDIES = {
    "empty": "give pairs with words on both sides",
    "length": "raise loader.max_length",
    "ratio": "raise loader.max_ratio",
}
"""What to do so that fewer pairs are dropped, by the reason."""


def dropped_counts(dropped: Mapping[str, int]) -> str:
    """Return how many pairs were dropped by which reason, in words; nothing where there are none."""
    return ", ".join(f"{count:,} by {reason}" for reason, count in dropped.items() if count)


def nothing_left(split: str, dropped: Mapping[str, int]) -> UserError:
    """Return the line for a split of which no pair is left, as these were dropped."""
    counts = dropped_counts(dropped)
    remedies = " and ".join(remedy for reason, remedy in REMEDIES.items() if dropped[reason])
    why = f", after {counts} were dropped: {remedies}" if counts else ": give more pairs"
    return UserError(f"the filters leave no {split} pair{why}")


def fault(source: int, target: int, max_length: int, max_ratio: float) -> str | None:
    """Why a training pair of these numbers of pieces is left out: empty, length or ratio; None: it is not."""
    shorter, longer = sorted((source, target))
    if not shorter:
        return "empty"
    if longer > max_length:
        return "length"
    return "ratio" if longer > max_ratio * shorter else None


def encode_pair(tokenizers: Tokenizers, pair: Pair) -> tuple[list[int], list[int]]:
    """The ids of both sides, those of the source after its tag."""
    return marked(tokenizers.source, pair.tag).encode(pair.source), tokenizers.target.encode(pair.target)


def piece_links(tokenizers: Tokenizers, pair: Pair) -> PieceLinks:
    """Links between the pieces of linked words, both sure and possible ones."""
    source_words = marked(tokenizers.source, pair.tag).word_of_piece(pair.source).words
    target_words = tokenizers.target.word_of_piece(pair.target).words
    linked = {tuple(map(int, link.replace("p", "-").split("-"))) for link in pair.links.split()}
    return [
        (i, j) for i, word in enumerate(source_words) for j, other in enumerate(target_words) if (word, other) in linked
    ]


class _Encoder:
    """Rows with ids from pairs, and the counts of what was dropped, cut and lost on the way."""

    def __init__(self, tokenizers: Tokenizers, max_length: int, max_ratio: float | None) -> None:
        self.tokenizers, self.max_length, self.max_ratio = tokenizers, max_length, max_ratio
        self.kept = 0
        self.dropped = dict.fromkeys(REMEDIES, 0)
        self.cut: list[int] = []
        self.losses = Losses(tokenizers, sample=max_ratio is not None)

    def encode(self, pairs: Iterable[Pair]) -> Iterator[dict[str, object]]:
        for line, pair in enumerate(pairs, start=1):
            source, target = encode_pair(self.tokenizers, pair)
            if self.max_ratio is not None:
                reason = fault(len(source), len(target), self.max_length, self.max_ratio)
                if reason:
                    self.dropped[reason] += 1
                    continue
            if max(len(source), len(target)) > self.max_length:
                self.cut.append(line)
            self.kept += 1
            self.losses.add(pair, (source, target), line)
            ids = {"source_ids": source[: self.max_length], "target_ids": target[: self.max_length]}
            yield {**pair._asdict(), **ids}


def write_rows(path: Path, rows: Iterator[dict[str, object]], schema: pa.Schema) -> None:
    """An Arrow stream that `datasets` maps into memory, written chunk by chunk."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        while chunk := list(islice(rows, ROWS_A_CHUNK)):
            writer.write_batch(pa.RecordBatch.from_pylist(chunk, schema=schema))
