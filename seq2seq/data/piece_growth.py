"""A SentencePiece model that grows: new pieces after the old ones, for text that those cut too small or cannot say."""

import heapq
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import sentencepiece

from seq2seq.data.model_proto import bytes_of, model_of
from seq2seq.data.sampling import BPE, SPACE
from seq2seq.data.text import is_blank
from seq2seq.data.tokenizer import UNK, Tokenizer

UNIGRAM, CHARACTERS = 1, 4  # numbers of those types of model
LEAST = 5
"""How often two neighbours must stand in the text to become one piece: what is rarer is not learnt well."""

BONUS = 0.01
"""By how much a new piece of a unigram model scores above its parts, so that it is what is taken."""


def can_grow(tokenizer: Tokenizer) -> bool:
    """Whether it is a SentencePiece model of ours: of pieces or of characters."""
    return type(tokenizer) is Tokenizer and model_of(tokenizer.model_proto).trainer_spec.model_type in (
        BPE,
        UNIGRAM,
        CHARACTERS,
    )


def grow(old: Tokenizer, lines: Iterable[str], *, vocab_size: int) -> bytes:
    """The bytes of a model with at most `vocab_size` pieces: the old ones with their ids, and new ones for some lines.

    Text is cut as before, and then new pieces join what stands side by side. BPE merges by score, so new pieces score
    below all old ones, in the order in which they were learnt. A unigram model takes the cut whose scores sum up to
    most, so a new piece scores a little above the sum of its parts. It never scores below the worst old piece: an
    unknown character is scored by that. A model of characters gets those that it lacks.
    """
    model = model_of(old.model_proto)
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
    pairs = 0 if model.trainer_spec.model_type == CHARACTERS else room - len(found)
    for left, right in _merges(words, scores, known, pairs, longest, free=is_bpe):
        scores[left + right] = max(scores[left] + scores[right] + BONUS, worst)
        found.append(left + right)
    for number, piece in enumerate(found, start=1):
        model.pieces.add(piece=piece, score=worst - number if is_bpe else scores[piece])
    model.trainer_spec.vocab_size = len(model.pieces)
    return bytes_of(model)


def old_ids(old: Tokenizer, pieces: Sequence[str]) -> list[list[int]]:
    """For each new piece the old ids that it would be cut into, without unknown ones."""
    model = model_of(old.model_proto)
    model.normalizer_spec.add_dummy_prefix = False  # a piece inside a word has no space before it
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    return [[i for i in ids if i != UNK] for ids in processor.encode(list(pieces))]


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
