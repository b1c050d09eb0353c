"""The embedded data set: parallel English and German sentences with exact word links, drawn from a grammar.

Links are sure (`i-j`) between words that translate each other: all words of a separable or phrasal verb, both members
of a compound, `has` and `hat`, `not a` and `kein`. They are possible (`ipj`) for words that only serve grammar: `did`
and the German finite verb, `to` and the infinitive, a conjunction and the commas that German sets around its clause.
"""

from random import Random
from typing import NamedTuple
from zlib import crc32

from seq2seq.data.grammar.clauses import main_clause
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
        phrase = main_clause(clause)
        stop = one_to_one(".", ".")
        sentence = render([*phrase.english, *stop.english], [*phrase.german, *stop.german], draw.tags)
        length = sentence.source.count(" ") + 1
        fits = length >= SHORTEST_LONG if split == "test_long" else length <= LONGEST
        if fits and split in (split_of(sentence.source), "test_long", "test_unseen"):
            sentences.setdefault(sentence.source, sentence)
    return list(sentences.values())


def held_out(lemma: str, phenomenon: str) -> bool:
    """Whether this word meets this phenomenon in test_unseen alone."""
    return crc32(f"{lemma} {phenomenon}".encode()) % 20 == 0


def split_of(source: str) -> str:
    """Which of train, val and test a sentence may be in."""
    return {0: "val", 1: "test"}.get(crc32(source.encode()) % 10, "train")


def render(source: list[English], target: list[German], tags: set[str]) -> Sentence:
    """The sentence as text, its links counted off."""
    position = {word: i for i, word in enumerate(source)}
    target = punctuate(target)
    links = sorted(
        (position[word], j, kind)
        for j, german in enumerate(target)
        for words, kind in ((german.sure, "-"), (german.possible, "p"))
        for word in words
    )
    return Sentence(
        capitalize(" ".join(word.text for word in source)),
        capitalize(" ".join(word.text for word in target)),
        " ".join(f"{i}{kind}{j}" for i, j, kind in links),
        " ".join(sorted(tags)),
    )


def punctuate(target: list[German]) -> list[German]:
    """The German words with neighbouring commas merged, and none before the full stop."""
    words: list[German] = []
    for word in target:
        if words and words[-1].text == "," and word.text in (",", "."):
            comma = words.pop()
            if word.text == ",":
                word = German(",", [*comma.sure, *word.sure], [*comma.possible, *word.possible])
        words.append(word)
    return words


def capitalize(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[0].upper() + text[1:]
