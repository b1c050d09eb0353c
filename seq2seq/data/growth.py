"""A vocabulary that grows: new pieces after the old ones, for text that the old ones cut too small or cannot say."""

import hashlib
import heapq
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from seq2seq.data.cache import build_once, content_key
from seq2seq.data.corpus import Corpus
from seq2seq.data.sampling import BPE, SPACE
from seq2seq.data.text import is_blank
from seq2seq.data.tokenizer import UNK, Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.errors import UserError

UNIGRAM = 1  # the number of that type of model
LEAST = 5
"""How often two neighbours must stand in the text to become one piece: what is rarer is not learnt well."""

BONUS = 0.01
"""By how much a new piece of a unigram model scores above its parts, so that it is what is taken."""

FORMAT = 1  # part of every key: raise it when another vocabulary is grown from the same text


def grown_tokenizers(old: Tokenizers, corpus: Corpus, config: TokenizerConfig, cache_dir: Path) -> Tokenizers:
    """The old tokenizers with the tags of a corpus, and pieces for its train split, up to `config.vocab_size`.

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
        vocab_size=config.vocab_size,
    )

    def build(folder: Path) -> None:
        for side, tokenizer in sides.items():
            texts = (
                text
                for pair in corpus.pairs("train")
                for text in (pair[:2] if side == "joint" else (getattr(pair, side),))
            )
            (folder / f"{side}.model").write_bytes(grow(tokenizer, texts, vocab_size=config.vocab_size))

    folder = build_once(cache_dir / f"grown-{key}", build)
    made = [Tokenizer((folder / f"{side}.model").read_bytes()) for side in sides]
    return Tokenizers(made[0], made[-1])


def check_growth(tokenizers: Tokenizers, vocab_size: int) -> None:
    """Raises UserError where tokenizers cannot grow to a size."""
    for side, tokenizer in _sides(tokenizers).items():
        if not _can_grow(tokenizer):
            raise UserError(
                f"tokenizer.grow=true: the {side} vocabulary is neither bpe nor unigram of ours, and cannot grow"
            )
        if vocab_size <= len(tokenizer):
            raise UserError(
                f"tokenizer.grow=true: the {side} vocabulary has {len(tokenizer)} pieces already, so "
                f"tokenizer.vocab_size={vocab_size} leaves no room; say how many it may have in the end"
            )


def _can_grow(tokenizer: Tokenizer) -> bool:
    return type(tokenizer) is Tokenizer and _parsed(tokenizer).trainer_spec.model_type in (BPE, UNIGRAM)


def _sides(tokenizers: Tokenizers) -> dict[str, Tokenizer]:
    joint = tokenizers.source is tokenizers.target
    return {"joint": tokenizers.source} if joint else tokenizers._asdict()


def grow(old: Tokenizer, lines: Iterable[str], *, vocab_size: int) -> bytes:
    """The bytes of a model with at most `vocab_size` pieces: the old ones with their ids, and new ones for some lines.

    Text is cut as before, and then new pieces join what stands side by side. BPE merges by score, so new pieces score
    below all old ones, in the order in which they were learnt. A unigram model takes the cut whose scores sum up to
    most, so a new piece scores a little above the sum of its parts. It never scores below the worst old piece: an
    unknown character is scored by that.
    """
    model = _parsed(old)
    normal = model.pieces[UNK].NORMAL
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type == normal}
    worst = min(scores.values(), default=0.0)
    is_bpe = model.trainer_spec.model_type == BPE
    every = {piece.piece for piece in model.pieces}  # with symbols, which stay by themselves
    words = _words(old, every, lines)
    room = vocab_size - len(model.pieces)
    letters = Counter[str]()
    for pieces, count in words.items():
        for piece in pieces:
            if piece not in every:  # an unknown character
                letters[piece] += count
    found: list[str] = []
    for letter, _ in sorted(letters.items(), key=lambda item: (-item[1], item[0]))[:room]:
        scores[letter] = worst
        found.append(letter)
    longest = model.trainer_spec.max_sentencepiece_length
    known = every | scores.keys()
    for left, right in _merges(words, scores, known, room - len(found), longest, free=is_bpe):
        scores[left + right] = max(scores[left] + scores[right] + BONUS, worst)
        found.append(left + right)
    for number, piece in enumerate(found, start=1):
        model.pieces.add(piece=piece, score=worst - number if is_bpe else scores[piece])
    model.trainer_spec.vocab_size = len(model.pieces)
    return model.SerializeToString(deterministic=True)


def parts_of_new(old: Tokenizer, new: Tokenizer) -> list[list[int]]:
    """For each new piece the old ids that it would be cut into, without unknown ones; a tag has no parts."""
    tags = set(new.tag_ids.values())
    places = [i for i in range(len(old), len(new)) if i not in tags]
    parts = dict(zip(places, _old_ids(old, new.pieces(places)), strict=True)) if places else {}
    return [parts.get(i, []) for i in range(len(old), len(new))]


def _old_ids(old: Tokenizer, pieces: Sequence[str]) -> list[list[int]]:
    model = _parsed(old)
    model.normalizer_spec.add_dummy_prefix = False  # a piece inside a word has no space before it
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    return [[i for i in ids if i != UNK] for ids in processor.encode(list(pieces))]


def _parsed(tokenizer: Tokenizer) -> Any:
    return sentencepiece_model_pb2.ModelProto.FromString(tokenizer.model_proto)  # type: ignore[attr-defined]


def _words(old: Tokenizer, known: set[str], lines: Iterable[str]) -> dict[tuple[str, ...], int]:
    """The words of some lines as old pieces, an unknown stretch as its characters, with how often each stands there."""
    words = Counter[tuple[str, ...]]()
    for line in lines:
        if is_blank(line):
            continue
        word: list[str] = []
        for piece in old.surfaces(line):
            if piece.startswith(SPACE) and word:
                words[tuple(word)] += 1
                word = []
            word.extend([piece] if piece in known else piece)
        words[tuple(word)] += 1
    return dict(words)


def _merges(
    words: dict[tuple[str, ...], int],
    normal: Mapping[str, float],
    known: set[str],
    room: int,
    longest: int,
    *,
    free: bool,
) -> Iterator[tuple[str, str]]:
    """Yield pairs of neighbours, the most frequent first, each of which becomes one piece before the next is sought.

    Args:
        words: as pieces, with their numbers.
        normal: pieces that may be joined, to which the caller adds each new one.
        known: all pieces that there are.
        room: for so many.
        longest: piece that may be made, in characters.
        free: whether neighbours that make a known piece are always one, as in BPE.
    """
    new = set[str]()
    ours, weights = [list(word) for word in words], list(words.values())
    counts, places = Counter[tuple[str, str]](), defaultdict[tuple[str, str], set[int]](set)
    agenda: list[tuple[bool, int, tuple[str, str]]] = []

    def is_one(piece: str) -> bool:
        return piece in new or (free and piece in known)

    def plan(pair: tuple[str, str]) -> None:
        # What is always one is so at once.
        heapq.heappush(agenda, (not is_one("".join(pair)), -counts[pair], pair))

    def count(number: int, sign: int) -> set[tuple[str, str]]:
        pairs = list(zip(ours[number], ours[number][1:], strict=False))
        for pair in pairs:
            counts[pair] += sign * weights[number]
            if sign > 0:
                places[pair].add(number)
        return set(pairs)

    for number in range(len(ours)):
        count(number, 1)
    for pair in counts:
        plan(pair)
    while agenda and room:
        _, negative, pair = heapq.heappop(agenda)
        if -negative != counts[pair]:  # it stands there less often now
            if -negative > counts[pair] > 0:
                plan(pair)
            continue
        piece = "".join(pair)
        if not is_one(piece):
            if piece in known:
                continue  # which a unigram model had reason not to take
            if counts[pair] < LEAST or len(piece) > longest or not _would_be_learnt(piece, pair, normal):
                continue
            yield pair
            new.add(piece)
            room -= 1
        changed: set[tuple[str, str]] = set()
        for number in sorted(places.pop(pair, ())):
            count(number, -1)
            ours[number] = _joined(ours[number], pair)
            changed |= count(number, 1)
        for other in sorted(changed):
            plan(other)


def _joined(word: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """A word in which two neighbours are one wherever they stand side by side, from the left."""
    joined: list[str] = []
    i = 0
    while i < len(word):
        both = tuple(word[i : i + 2]) == pair
        joined.append("".join(pair) if both else word[i])
        i += 1 + both
    return joined


def _would_be_learnt(piece: str, parts: tuple[str, str], normal: Mapping[str, float]) -> bool:
    """Whether SentencePiece would join them: neither is a symbol, and no letter stands beside a sign or a digit."""
    kinds = {_kind(character) for character in piece.lstrip(SPACE)} - {""}
    return all(part in normal for part in parts) and len(kinds) <= 1


def _kind(character: str) -> str:
    """The script of a letter, or that it is a digit or a sign; nothing for a mark, which goes with any."""
    category = unicodedata.category(character)
    if category.startswith("M"):
        return ""
    if category.startswith("L"):
        return unicodedata.name(character, "LETTER").split()[0]
    return "digit" if category.startswith("N") else "sign"
