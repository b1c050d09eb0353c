"""The order of words: a clause in both languages, German with its finite verb second or last."""

from dataclasses import dataclass
from typing import NamedTuple

from seq2seq.data.grammar.draw import PRESENT, Tense
from seq2seq.data.grammar.phrases import English, German, Nominal, Phrase, VerbGroup, prepositional
from seq2seq.data.grammar.verbs import Slot

NOTHING = Phrase([], [])


@dataclass(slots=True)
class Clause:
    """A clause; its German side lies in the fields of German word order."""

    subject: Nominal
    english: list[English]  # everything but `front`
    finite: German
    middle: list[German]  # between the finite verb and what closes the clause
    right: list[German]  # closes a main clause: particle, participle, infinitive
    final: list[German]  # closes a subordinate clause: all of the verb
    after: list[German]  # what follows the closing verb
    front: Phrase = NOTHING  # takes the place before the finite verb from the subject
    tense: Tense = PRESENT
    verb: str = ""
    negated: bool = False

    def append(self, phrase: Phrase) -> None:
        """Adds a phrase behind the clause in both languages."""
        self.english = self.english + phrase.english
        self.after = [*self.after, *phrase.german, *phrase.after]


def main_clause(clause: Clause) -> Phrase:
    """The clause with its German finite verb second: `Gestern sah das Kind den Hund`."""
    subject = [*clause.subject.phrase.german, *clause.subject.phrase.after]
    front = clause.front.german
    opening = [*front, clause.finite, *subject] if front else [*subject, clause.finite]
    german = [*opening, *clause.middle, *clause.right, *clause.after]
    return Phrase(clause.front.english + clause.english, german)


def final_clause(clause: Clause) -> Phrase:
    """The clause with its German finite verb last: `das Kind den Hund sah`."""
    subject = [*clause.subject.phrase.german, *clause.subject.phrase.after]
    return Phrase(clause.english, [*subject, *clause.middle, *clause.final, *clause.after])


def subordinate(opening: str, translation: str, inner: Phrase) -> Phrase:
    """The clause under a conjunction or relative pronoun, which its German commas possibly translate."""
    word = English(opening)
    comma = German(",", (), [word])
    return Phrase([word, *inner.english], [comma, German(translation, [word]), *inner.german, comma])


class Adverbials(NamedTuple):
    """What a clause says about when, where and how; any of them may be nothing."""

    time: Phrase = NOTHING
    place: Phrase = NOTHING
    manner: Phrase = NOTHING
    frequency: Phrase = NOTHING


def assemble(
    subject: Nominal,
    group: VerbGroup,
    filled: list[tuple[Slot, Nominal]],
    adverbials: Adverbials,
    *,
    front: bool,
) -> Clause:
    """The clause in both orders: every German field is filled here, and nowhere else.

    The middle field runs: pronouns, time, definite objects, nicht (or how, or how often), place, indefinite objects,
    complements with a preposition.
    """
    time, place, manner, frequency = adverbials
    fields: dict[str, list[German]] = {"light": [], "firm": [], "loose": [], "complement": [], "after": []}
    objects: list[English] = []
    rest: list[English] = []
    for slot, nominal in filled:
        phrase = prepositional(slot, nominal)
        weight = "light" if nominal.light else "firm" if nominal.definite else "loose"
        fields["complement" if slot.english else weight] += phrase.german
        fields["after"] += phrase.after
        (rest if slot.english else objects).extend(phrase.english)
    nicht = []
    if group.negation and not any(group.negation in word.sure for word in fields["loose"]):
        nicht = [German("nicht", [group.negation])]
    opening = NOTHING
    if front:
        opening, time, place = (time, NOTHING, place) if time.english else (place, time, NOTHING)
    source = [*subject.phrase.english, *group.auxiliaries, *frequency.english, *group.main, *objects]
    source += [*manner.english, *rest, *place.english, *time.english]
    middle = [*fields["light"], *time.german, *fields["firm"], *nicht, *frequency.german, *manner.german]
    middle += [*place.german, *fields["loose"], *fields["complement"]]
    return Clause(subject, source, group.finite, middle, group.right, group.final, fields["after"], opening)
