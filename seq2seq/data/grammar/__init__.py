"""The embedded data set: parallel English and German sentences with exact word links, drawn from a grammar.

Links are sure (`i-j`) between words that translate each other: all words of a separable or phrasal verb, both members
of a compound, `has` and `hat`, `not a` and `kein`. They are possible (`ipj`) for words that only serve grammar: `did`
and the German finite verb, `to` and the infinitive, a conjunction and the commas that German sets around its clause.
"""

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import NamedTuple
from zlib import crc32

from seq2seq.data.grammar.order import Clause, main_clause
from seq2seq.data.grammar.phrases import English, German, one_to_one
from seq2seq.data.grammar.sentences import SentenceDraw

SPLITS = {"train": 20_000, "val": 500, "test": 500, "test_long": 500, "test_unseen": 500}

PHENOMENA = (
    "accusative",
    "agreement",
    "compound",
    "dative",
    "future",
    "inversion",
    "modal",
    "negation",
    "number",
    "perfect",
    "pronoun",
    "relative",
    "separable",
    "subordinate",
)

LONGEST = 17  # English words, punctuation included, of all splits but test_long
SHORTEST_LONG = 22


class Sentence(NamedTuple):
    """A sentence pair: words and punctuation separated by spaces, links in Pharaoh form, names of phenomena."""

    source: str
    target: str
    links: str
    tags: str


def generate(split: str, *, seed: int = 0) -> list[Sentence]:
    """The sentences of a split, all different, the same for the same seed on every machine.

    No sentence is in two splits, whatever the seeds: train, val and test divide the sentences by a hash of the source,
    those of test_unseen join a word and a phenomenon that are never joined elsewhere, test_long has the long ones.
    """
    random = Random(f"{split} {seed}")
    sentences: dict[str, Sentence] = {}
    while len(sentences) < SPLITS[split]:
        draw = SentenceDraw(random)
        clause = draw.long_sentence() if split == "test_long" else draw.sentence()
        unseen = any(held_out(lemma, phenomenon) for lemma, phenomenon in draw.pairs)
        if unseen != (split == "test_unseen"):
            continue
        sentence = render(clause, draw.tags, mark="!" if draw.chance(0.5) else ".")
        length = len(sentence.source.split())
        fits = length >= SHORTEST_LONG if split == "test_long" else length <= LONGEST
        words = sentence.source[:-2]  # the same words with another mark are the same sentence
        if fits and split in (split_of(words), "test_long", "test_unseen"):
            sentences.setdefault(words, sentence)
    return list(sentences.values())


@cache
def held_out(lemma: str, phenomenon: str) -> bool:
    """Whether this word meets this phenomenon in test_unseen alone."""
    return " " not in lemma and crc32(f"{lemma} {phenomenon}".encode()) % 16 == 0


def split_of(words: str) -> str:
    """Which of train, val and test a sentence may be in, by its source without the mark."""
    return {0: "val", 1: "test"}.get(crc32(words.encode()) % 10, "train")


def render(clause: Clause, tags: set[str], *, mark: str = ".") -> Sentence:
    """The sentence that a main clause makes, as text with its links.

    Its mark varies, and only the source tells which: a sentence that always ended in "." would need no look there.
    """
    phrase, stop = main_clause(clause), one_to_one(mark, mark)
    source = [*phrase.english, *stop.english]
    target = punctuate([*phrase.german, *stop.german])
    return Sentence(text(source), text(target), pharaoh(source, target), " ".join(sorted(tags)))


def pharaoh(source: list[English], target: list[German]) -> str:
    """The links between the words, counted off."""
    position = {word: i for i, word in enumerate(source)}
    links = [(position[word], j, "-") for j, german in enumerate(target) for word in german.sure]
    links += [(position[word], j, "p") for j, german in enumerate(target) for word in german.possible]
    return " ".join(f"{i}{kind}{j}" for i, j, kind in sorted(links))


def punctuate(target: list[German]) -> list[German]:
    """The German words with neighbouring commas merged, and none before the last mark."""
    words: list[German] = []
    for word in target:
        if words and words[-1].text == "," and word.text in (",", ".", "!"):
            comma = words.pop()
            if word.text == ",":
                word = German(",", [*comma.sure, *word.sure], [*comma.possible, *word.possible])
        words.append(word)
    return words


def text(words: Sequence[English | German]) -> str:
    """The words with spaces between them, the first letter in upper case."""
    line = " ".join(word.text for word in words)
    return line[0].upper() + line[1:]
