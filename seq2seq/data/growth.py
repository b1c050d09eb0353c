"""A vocabulary that grows: new pieces, characters or words after the old ones, for text that those do not say well."""

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from seq2seq.data.cache import build_once, content_key
from seq2seq.data.corpus import Corpus
from seq2seq.data.piece_growth import can_grow, grow, old_ids
from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.data.units import ByteTokenizer, Listed, VocabularyConfig, WordConfig, WordTokenizer, tokenizer_of
from seq2seq.data.units_training import counted_words, entries_of
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

FORMAT = 2  # part of every key: raise it when another vocabulary is grown from the same text


def grown_tokenizers(old: Tokenizers, corpus: Corpus, config: VocabularyConfig, cache_dir: Path) -> Tokenizers:
    """The old tokenizers with the tags of a corpus, and entries for its train split, up to `config.vocab_size`.

    They are grown once, and then come from the cache.

    Raises UserError where the old vocabulary is as large already, or of a kind that cannot grow.
    """
    check_growth(old, config.vocab_size)
    sides = {
        side: tokenizer if side == "target" else tokenizer.with_tags(corpus.tags)
        for side, tokenizer in _sides(old).items()
    }
    key = content_key(
        format=FORMAT,
        train=corpus.fingerprint("train"),
        old=[hashlib.sha256(tokenizer.model_proto).hexdigest() for tokenizer in sides.values()],
        vocabulary=config.of_vocabulary(),
    )

    def build(folder: Path) -> None:
        for side, tokenizer in sides.items():
            texts = (
                text
                for pair in corpus.pairs("train")
                for text in (pair[:2] if side == "joint" else (getattr(pair, side),))
            )
            (folder / f"{side}.model").write_bytes(grown_model(tokenizer, texts, config))

    folder = build_once(cache_dir / f"grown-{key}", build)
    made = [tokenizer_of((folder / f"{side}.model").read_bytes()) for side in sides]
    for (side, before), now in zip(sides.items(), made, strict=True):
        if len(now) == len(before):
            log.info("tokenizer.grow=true: the %s vocabulary says the training text already, and stays as it is", side)
    return Tokenizers(made[0], made[-1])


def grown_model(old: Tokenizer, lines: Iterable[str], config: VocabularyConfig) -> bytes:
    """The bytes of a model with at most `config.vocab_size` entries: the old ones with their ids, and new ones.

    Bytes say every text, so they stay as they are. Words are counted anew: those that are unknown come in as they would
    into a new vocabulary. Of pieces and characters, see `grow`.
    """
    if isinstance(old, WordTokenizer):
        assert isinstance(config, WordConfig)
        counts = counted_words(lines, old.normalization)
        for word in old.known:
            counts.pop(word, None)
        return old.model_with(entries_of(counts, least=config.min_count)[: config.vocab_size - len(old)])
    if isinstance(old, ByteTokenizer):
        return old.model_proto
    return grow(old, lines, vocab_size=config.vocab_size)


def check_growth(tokenizers: Tokenizers, vocab_size: int) -> None:
    """Raises UserError where tokenizers cannot grow to a size."""
    for side, tokenizer in _sides(tokenizers).items():
        if isinstance(tokenizer, ByteTokenizer):
            continue  # there is nothing that it cannot say
        if not (isinstance(tokenizer, WordTokenizer) or can_grow(tokenizer)):
            raise UserError(
                f"tokenizer.grow=true: the {side} vocabulary was made elsewhere, and cannot grow; leave that key out"
            )
        if vocab_size <= len(tokenizer):
            raise UserError(
                f"tokenizer.grow=true: the {side} vocabulary has {len(tokenizer)} pieces already, so "
                f"tokenizer.vocab_size={vocab_size} leaves no room; say how many it may have in the end"
            )


def _sides(tokenizers: Tokenizers) -> dict[str, Tokenizer]:
    joint = tokenizers.source is tokenizers.target
    return {"joint": tokenizers.source} if joint else tokenizers._asdict()


def parts_of_new(old: Tokenizer, new: Tokenizer) -> list[list[int]]:
    """For each new piece the old ids that it would be cut into, without unknown ones; a tag or a word has no parts."""
    tags = set(new.tag_ids.values())
    places = [i for i in range(len(old), len(new)) if i not in tags and not isinstance(old, Listed)]
    parts = dict(zip(places, old_ids(old, new.pieces(places)), strict=True)) if places else {}
    return [parts.get(i, []) for i in range(len(old), len(new))]
