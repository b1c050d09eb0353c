"""The random choices of one sentence: nouns, determiners, subjects, tenses, phrases of time and place."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, TypeVar

from seq2seq.data.grammar.compounds import compounds
from seq2seq.data.grammar.inflection import number
from seq2seq.data.grammar.modifiers import UNITS, Adjective, adjectives_of, times
from seq2seq.data.grammar.nouns import NAMES, Noun, nouns_of
from seq2seq.data.grammar.phrases import (
    POSSESSIVES,
    English,
    German,
    Nominal,
    Phrase,
    name_phrase,
    noun_phrase,
    prepositional,
    pronoun,
)
from seq2seq.data.grammar.verbs import Modal, modals, places

Choice = TypeVar("Choice")


class Tense(NamedTuple):
    """A tense: the form of its finite verb, its modal auxiliary, and the phrases of time that go with it."""

    form: str  # present, past or perfect
    modal: str = ""
    times: str = ""

    @property
    def auxiliary(self) -> Modal | None:
        """The modal auxiliary, if there is one."""
        return modals()[self.modal] if self.modal else None


PRESENT = Tense("present", times="present")
PAST = Tense("past", times="past")
PERFECT = Tense("perfect", times="perfect")
FUTURE = Tense("present", "will", "future")
TENSES = [
    *[PAST] * 14,
    *[PRESENT] * 8,
    *[PERFECT] * 5,
    *[FUTURE] * 2,
    Tense("present", "can", "modal"),
    Tense("present", "must", "modal"),
    Tense("present", "want", "modal"),
    Tense("past", "want", "past"),
]

# What may stand before a noun: "own" is the subject's possessive, "#" a number, "-" nothing at all, "one" "the"
# with a singular.
SUBJECTS = [*["the"] * 6, *["a"] * 2, "this", "every", "#", "some", "many"]
PERSONS = [*SUBJECTS, "my", "our"]
FIRM_SUBJECTS = ["the", "the", "the", "this"]
OBJECTS = [*["the"] * 6, *["a"] * 4, "own", "own", "#", "#", "#", "this", "-", "some", "many"]
NEGATED_OBJECTS = ["the", "the", "the", "a", "a", "-", "own", "this"]
RECIPIENTS = ["the", "the", "own"]
PLAIN = ["the", "the", "the", "a"]
FIRM = ["the", "the", "the", "this", "own"]
OWN = {"my", "our", "his", "her", "their"}
PLURALS = {"#", "-", "many", "some"}
SINGULARS = {"a", "every", "one"}
MASS = {"a": "-", "#": "-", "many": "-", "some": "the", "this": "the", "every": "the"}  # for nouns like "milk"


class Draw:
    """One sentence being drawn: its random numbers, its tags, and which word met which phenomenon."""

    def __init__(self, random: Random) -> None:
        """Starts a sentence that takes its choices from `random`."""
        self.random = random
        self.tags: set[str] = set()
        self.pairs: set[tuple[str, str]] = set()
        self.used: set[str] = set()

    def note(self, phenomenon: str, *lemmas: str) -> None:
        """Tags the sentence, and remembers that these words met this phenomenon."""
        self.tags.add(phenomenon)
        self.pairs.update((lemma, phenomenon) for lemma in lemmas)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def choose(self, options: Sequence[Choice]) -> Choice:
        """One of the options."""
        return options[int(self.random.random() * len(options))]

    def tense(self) -> Tense:
        """A tense, the frequent ones more often."""
        return self.choose(TENSES)

    def noun(self, classes: tuple[str, ...]) -> Noun:
        """A noun of one of the classes, sometimes as the head of a compound."""
        nouns = nouns_of(classes)
        noun = self.choose(nouns)
        if noun.lemma in self.used:
            noun = self.choose([noun for noun in nouns if noun.lemma not in self.used] or nouns)
        if noun.lemma in compounds() and self.chance(0.5):
            noun = self.choose(compounds()[noun.lemma])
            self.note("compound")
        return noun

    def determine(self, noun: Noun, determiners: list[str], owner: str) -> tuple[str, bool]:
        """One of these determiners as far as it suits the noun, and whether the noun is plural."""
        determiner = self.choose(determiners)
        if determiner == "own":
            determiner = POSSESSIVES.get(owner, "the")
        stranger = determiner == "-" and "person" in noun.kind
        relative = determiner in ("a", "this") and "kin" in noun.kind
        if stranger or relative or (determiner in OWN and not noun.ownable):
            determiner = "the"
        if "mass" in noun.kind:
            return MASS.get(determiner, determiner), False
        single = determiner in SINGULARS or (determiner in OWN and "parent" in noun.kind)
        plural = determiner in PLURALS or (not single and self.chance(0.2))
        return {"this": "these" if plural else "this", "one": "the"}.get(determiner, determiner), plural

    def nominal(
        self,
        classes: tuple[str, ...],
        case: str,
        determiners: list[str],
        *,
        noun: Noun | None = None,
        owner: str = "",
        negation: English | None = None,
    ) -> Nominal:
        """A noun phrase with one of these determiners; `owner` is the pronoun of whoever may possess it.

        The noun is drawn from `classes` unless it is given, in which case it has no adjective.
        """
        given, noun = noun, noun or self.noun(classes)
        self.used.add(noun.singular[-1])
        determiner, plural = self.determine(noun, determiners, owner)
        count = self.count(noun.lemma, 12 if case == "nom" else 99) if determiner == "#" else 0
        adjective = None
        if not given and self.chance(0.3):
            adjective = self.adjective(noun.kind)
            self.note("agreement", noun.lemma)
        if case == "dat":
            self.note("dative", *([] if plural else [noun.lemma]))
        elif case == "acc":
            self.note("accusative")
        return noun_phrase(
            noun,
            determiner.strip("#-"),
            case,
            plural=plural,
            count=count,
            adjective=adjective,
            negation=negation if determiner in ("a", "-") else None,
        )

    def adjective(self, kind: frozenset[str]) -> Adjective:
        """An adjective for something of these classes."""
        return self.fresh(adjectives_of(kind))

    def fresh(self, options: list[Adjective]) -> Adjective:
        """One of these adjectives that the sentence has not used yet, if there is one."""
        adjective = self.choose(options)
        if adjective.english in self.used:
            adjective = self.choose([option for option in options if option.english not in self.used] or options)
        self.used.add(adjective.english)
        return adjective

    def count(self, lemma: str, most: int = 99) -> int:
        """A number from 2 to `most` for the noun, small ones more often."""
        self.note("number", lemma)
        return self.random.randint(2, 12 if self.chance(0.2) else most)

    def subject(self, *, firm: bool = False) -> Nominal:
        """Who or what a clause is about; `firm` subjects are definite, as in negated clauses."""
        draw = self.random.random()
        if draw < 0.1:
            return self.name()
        if draw < 0.2:
            return pronoun(*self.choose([("I", "m"), ("we", "p"), ("he", "m"), ("she", "f"), ("they", "p")]))
        if draw < 0.7:
            return self.nominal(("person", "infant"), "nom", FIRM_SUBJECTS if firm else PERSONS)
        classes = ("animal",) if draw < 0.94 else ("scheduled",) if draw < 0.97 else ("vehicle", "small", "clothing")
        return self.nominal(classes, "nom", FIRM_SUBJECTS if firm else SUBJECTS)

    def name(self) -> Nominal:
        """Somebody's name."""
        name = self.choose([name for name in NAMES if name not in self.used])
        self.used.add(name)
        return name_phrase(name, NAMES[name])

    def time(self, tense: Tense) -> Phrase:
        """A phrase of time that goes with the tense."""
        if tense.times == "past" and self.chance(0.2):
            return self.ago()
        source, target, links = self.choose(times()[tense.times])
        words = [English(word) for word in source]
        german = [German(word, [words[i] for i, k in links if k == j]) for j, word in enumerate(target)]
        return Phrase(words, german)

    def ago(self) -> Phrase:
        """A past counted back from now: `two days ago` / `vor zwei Tagen`."""
        unit, german_unit = self.choose(UNITS)
        count, german_count = number(self.count(unit, 12))
        words = [English(count), English(unit), English("ago")]
        german = [German("vor", words[2:]), German(german_count, words[:1]), German(german_unit, words[1:2])]
        return Phrase(words, german)

    def place(self, group: str) -> Phrase:
        """A phrase of place from this group."""
        slot = self.choose(places(group))
        return prepositional(slot, self.nominal(slot.classes, slot.case, ["one"]))
