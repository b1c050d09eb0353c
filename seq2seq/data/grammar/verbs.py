"""The verbs of the embedded grammar, read from their table; modal auxiliaries; phrases of place."""

from functools import cache
from typing import NamedTuple

from seq2seq.data.grammar.nouns import rows
from seq2seq.data.grammar.verb_table import CLAUSAL_VERBS, VERBS

# Auxiliaries that take an infinitive: English, where negation is one word with it | German ich, er, wir | preterite.
MODALS = """
can cannot | kann kann können    |
must       | muss muss müssen    |
want       | will will wollen    | wollte
will       | werde wird werden   |
"""


class Slot(NamedTuple):
    """A complement or adjunct: its preposition in both languages (maybe none), its case, what fits."""

    english: tuple[str, ...]
    german: str
    case: str
    classes: tuple[str, ...]


class Verb(NamedTuple):
    """A verb of both languages; `tail` follows the English verb ("up", "for"), `particle` is what German splits off."""

    lemma: str  # the German infinitive
    forms: tuple[str, ...]  # base, past, participle
    tail: tuple[str, ...]
    particle: str
    infinitive: str  # without the particle, like all that follow
    third: str
    preterite: str
    participle: str
    auxiliary: str  # haben or sein
    subjects: tuple[str, ...]
    how: tuple[str, ...]  # groups of adverbs and places
    frames: tuple[tuple[Slot, ...], ...]


# Complements that several verbs share, and the classes that "goods" stands for.
FRAMES = {
    "motion": "into=in acc enter; to=zu dat building; through=durch acc through; across=über acc crossed",
    "roaming": "into=in acc lair; through=durch acc through; across=über acc crossed",
    "acc goods": "acc food fruit drink clothing small device furniture vehicle pet",
}

# Where something happens.
PLACES = {
    "around": (
        "in=in dat in; in=in dat in; on=auf dat on; by=an dat by; under=unter dat tree;"
        "behind=hinter dat building; in front of=vor dat building; next to=neben dat building"
    ),
    "outdoors": "in=in dat lair; on=auf dat on; by=an dat by; under=unter dat tree; behind=hinter dat tree",
    "shop": "at=auf dat market; in=in dat town",
    "water": "in=in dat waters",
}


def read_slot(text: str) -> Slot:
    """A slot from its notation: `acc openable`, `for=auf acc person`."""
    english, _, rest = text.strip().rpartition("=")
    german, case, *classes = rest.split() if english else ["", *rest.split()]
    return Slot(tuple(english.split()), german, case, tuple(classes))


@cache
def places(group: str) -> list[Slot]:
    """The slots of a group of places."""
    return [read_slot(slot) for slot in PLACES[group].split(";")]


def english_forms(forms: str) -> tuple[str, ...]:
    """Base, past and participle of an English verb, regular if only the base is given."""
    if "/" in forms:
        return tuple(forms.split("/"))
    y = forms.endswith("y") and forms[-2] not in "aeou"
    past = forms[:-1] + "ied" if y else forms + ("d" if forms.endswith("e") else "ed")
    return forms, past, past


def german_forms(infinitive: str) -> list[str]:
    """Third person, preterite and participle of a weak German verb."""
    stem = infinitive.removesuffix("n").removesuffix("e")
    ending = "et" if stem[-1] in "td" else "t"
    unstressed = infinitive.endswith("ieren") or infinitive.startswith(("be", "er", "ge", "über", "ver"))
    return [stem + ending, stem + ending + "e", ("" if unstressed else "ge") + stem + ending]


def read_verb(subjects: str, english: str, german: str, how: str, frames: str) -> Verb:
    """A verb from the columns of its line."""
    forms, *tail = english.split()
    infinitive, *german_parts = german.split()
    particle, _, stem = infinitive.rpartition("+")
    third, preterite, participle = [part for part in german_parts if part != "ist"] or german_forms(stem)
    return Verb(
        particle + stem,
        english_forms(forms),
        tuple(tail),
        particle,
        stem,
        third,
        preterite,
        participle,
        "sein" if "ist" in german_parts else "haben",
        tuple(subjects.split()),
        tuple(how.split()),
        tuple(
            tuple(read_slot(slot) for slot in frame.split("+") if slot.strip())
            for frame in FRAMES.get(frames, frames).split(";")
        ),
    )


@cache
def verbs() -> list[Verb]:
    """All verbs with nominal complements, in the order of the tables."""
    return [read_verb(subjects, *columns) for subjects, table in VERBS.items() for columns in rows(table)]


@cache
def clausal_verbs() -> list[tuple[str, Verb]]:
    """All verbs with a clause as complement, each with its English conjunction."""
    return [
        (conjunction, read_verb("person", english, german, "stative", ""))
        for conjunction, english, german in rows(CLAUSAL_VERBS)
    ]


class Modal(NamedTuple):
    """A modal (or future) auxiliary."""

    english: str
    negated: str
    present: tuple[str, ...]
    preterite: str


@cache
def modals() -> dict[str, Modal]:
    """The modal auxiliaries by their English name."""
    table = {}
    for english, present, preterite in rows(MODALS):
        name, _, negated = english.partition(" ")
        table[name] = Modal(name, negated, tuple(present.split()), preterite)
    return table
