"""The random choices of one sentence: nouns, determiners, subjects, tenses, phrases of time and place."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, TypeVar

from seq2seq.data.grammar.inflection import number
from seq2seq.data.grammar.modifiers import UNITS, Adjective, adjectives_of, times
from seq2seq.data.grammar.nouns import NAMES, Noun, compounds, nouns_of
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
TENSES = {
    PAST: 42,
    PRESENT: 25,
    PERFECT: 15,
    FUTURE: 6,
    Tense("present", "can", "modal"): 4,
    Tense("present", "must", "modal"): 3,
    Tense("present", "want", "modal"): 2,
    Tense("past", "want", "past"): 3,
}

# Choices of determiner: "own" is the subject's possessive, "#" a number, "-" nothing at all,
# "one" the article of a single thing.
SUBJECTS = ["the", "the", "the", "the", "the", "the", "a", "a", "this", "every", "#", "some", "many"]
PERSONS = ["the", "the", "the", "the", "the", "the", "my", "our", "a", "a", "this", "every", "#", "some", "many"]
FIRM_SUBJECTS = ["the", "the", "the", "this", "my", "our"]
FIRM = ["the", "the", "the", "this", "own"]
OBJECTS = [
    "the",
    "the",
    "the",
    "the",
    "the",
    "the",
    "a",
    "a",
    "a",
    "a",
    "own",
    "own",
    "#",
    "#",
    "this",
    "-",
    "some",
    "many",
]
NEGATED_OBJECTS = ["the", "the", "the", "a", "a", "-", "own", "this"]
RECIPIENTS = ["the", "the", "own"]
PLAIN = ["the", "the", "the", "a"]
OWN = {"my", "our", "his", "her", "their"}
PLURALS = {"#", "-", "many", "some"}
SINGULARS = {"a", "every", "one"}
MASS = {"a": "-", "#": "-", "many": "-", "some": "the", "this": "the", "every": "the"}  # what nouns like "milk" take


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
        return self.random.choices(list(TENSES), TENSES.values())[0]

    def noun(self, classes: tuple[str, ...]) -> Noun:
        """A noun of one of the classes, sometimes as the head of a compound."""
        nouns = nouns_of(classes)
        noun = self.choose(nouns)
        if noun.lemma in self.used:
            noun = self.choose([noun for noun in nouns if noun.lemma not in self.used] or nouns)
        if noun.lemma in compounds() and self.chance(0.5):
            noun = self.choose(compounds()[noun.lemma])
            self.note("compound", noun.lemma)
        return noun

    def nominal(
        self,
        classes: tuple[str, ...],
        case: str,
        determiners: list[str],
        *,
        owner: str = "",
        negation: English | None = None,
    ) -> Nominal:
        """A noun phrase with one of these determiners; "own" is the possessive of the pronoun `owner`."""
        return self.nominal_of(self.noun(classes), case, determiners, owner=owner, negation=negation)

    def nominal_of(
        self,
        noun: Noun,
        case: str,
        determiners: list[str],
        *,
        owner: str = "",
        negation: English | None = None,
        plain: bool = False,
    ) -> Nominal:
        """A noun phrase of this noun, without adjective if `plain`; see `nominal`."""
        self.used.add(noun.singular[-1])
        determiner = self.choose(determiners)
        if determiner == "own":
            determiner = POSSESSIVES.get(owner, "the")
        if determiner in OWN and not noun.ownable:
            determiner = "the"
        if "mass" in noun.kind:
            determiner, plural = MASS.get(determiner, determiner), False
        else:
            plural = determiner in PLURALS or (determiner not in SINGULARS and self.chance(0.2))
        count = 0
        if determiner == "#":
            count = self.count(noun.lemma)
        if determiner == "this" and plural:
            determiner = "these"
        if determiner == "one":
            determiner = "the"
        adjective = None
        if not plain and self.chance(0.3) and adjectives_of(noun.kind):
            adjective = self.adjective(adjectives_of(noun.kind))
            self.note("agreement", noun.lemma, adjective.english)
        if case == "dat":
            self.note("dative", noun.lemma)
        elif case == "acc":
            self.tags.add("accusative")
        if determiner not in ("a", "-"):
            negation = None
        determiner = "" if determiner in ("#", "-") else determiner
        return noun_phrase(noun, determiner, case, plural=plural, count=count, adjective=adjective, negation=negation)

    def adjective(self, options: list[Adjective]) -> Adjective:
        """One of these adjectives that the sentence has not used yet, if there is one."""
        adjective = self.choose([option for option in options if option.english not in self.used] or options)
        self.used.add(adjective.english)
        return adjective

    def count(self, lemma: str) -> int:
        """A number from 2 to 99 for the noun, small ones more often."""
        self.note("number", lemma)
        return self.random.randint(2, 12 if self.chance(0.4) else 99)

    def subject(self, *, firm: bool = False) -> Nominal:
        """Who or what a clause is about; `firm` subjects are definite, as in negated clauses."""
        draw = self.random.random()
        if draw < 0.1:
            return self.name()
        if draw < 0.2:
            return pronoun(*self.choose([("I", "m"), ("we", "p"), ("he", "m"), ("she", "f"), ("they", "p")]))
        if draw < 0.7:
            return self.nominal(("person",), "nom", FIRM_SUBJECTS if firm else PERSONS)
        classes = ("animal",) if draw < 0.93 else ("scheduled", "vehicle", "small", "clothing")
        return self.nominal(classes, "nom", FIRM_SUBJECTS[:4] if firm else SUBJECTS)

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
        count, german_count = number(self.count(unit))
        words = [English(count), English(unit), English("ago")]
        return Phrase(
            words, [German("vor", words[2:]), German(german_count, words[:1]), German(german_unit, words[1:2])]
        )

    def place(self, group: str) -> Phrase:
        """A phrase of place from this group."""
        slot = self.choose(places(group))
        return prepositional(slot, self.nominal(slot.classes, slot.case, ["one"]))
