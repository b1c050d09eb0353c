"""Clauses of the embedded grammar: who does what to whom, and the order of words in each language."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from seq2seq.data.grammar.draw import FIRM, NEGATED_OBJECTS, OBJECTS, PLAIN, PRESENT, RECIPIENTS, Draw, Tense
from seq2seq.data.grammar.inflection import BE, THIRD, number
from seq2seq.data.grammar.modifiers import DEGREES, FREQUENCIES, MANNERS, Adjective
from seq2seq.data.grammar.nouns import nouns_of
from seq2seq.data.grammar.phrases import (
    English,
    German,
    Nominal,
    Phrase,
    VerbGroup,
    english,
    one_to_one,
    prepositional,
    verb_group,
)
from seq2seq.data.grammar.verbs import Slot, Verb, verbs

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
    objects: Sequence[Nominal] = ()
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


@cache
def verbs_for(kind: frozenset[str]) -> list[Verb]:
    """The verbs that something of these classes can be the subject of."""
    return [verb for verb in verbs() if not kind.isdisjoint(verb.subjects)]


@cache
def verbs_about(kind: frozenset[str]) -> list[Verb]:
    """The verbs that a person can do to something of these classes."""
    return [
        verb
        for verb in verbs()
        if "person" in verb.subjects
        and any(len(frame) == 1 and frame[0].case == "acc" and not frame[0].english for frame in verb.frames)
        and not kind.isdisjoint(verb.frames[0][0].classes)
    ]


@cache
def verbs_alone(kind: frozenset[str]) -> list[Verb]:
    """The verbs for such a subject that bring nobody else into the sentence whom a pronoun could mean."""

    def alone(slot: Slot) -> bool:
        return not any(noun.kind & {"person", "animal"} for noun in nouns_of(slot.classes))

    return [verb for verb in verbs_for(kind) if all(alone(slot) for frame in verb.frames for slot in frame)]


@cache
def verb_named(lemma: str) -> Verb:
    """The verb with this German infinitive."""
    return next(verb for verb in verbs() if verb.lemma == lemma)


def fits(verb: Verb, subject: Nominal, tense: Tense) -> bool:
    """Whether the verb has this tense, and a form in it that is not read as another tense (`they read`)."""
    simple = tense.form != "perfect" and not tense.modal
    if verb.manner == "stative":
        return simple
    return not simple or verb.forms[0] != verb.forms[1] or subject.agreement == THIRD


class Adverbials(NamedTuple):
    """What a clause says about when, where and how; any of them may be nothing."""

    time: Phrase = NOTHING
    place: Phrase = NOTHING
    manner: Phrase = NOTHING
    frequency: Phrase = NOTHING


class ClauseDraw(Draw):
    """Draws whole clauses."""

    def clause(
        self,
        *,
        subject: Nominal | None = None,
        tense: Tense | None = None,
        verb: Verb | None = None,
        theme: Nominal | None = None,
        negated: bool | None = None,
        bare: bool = False,
        front: bool = False,
        role: str = "",
    ) -> Clause:
        """A clause with a full verb; whatever is not given is drawn.

        `theme` is the accusative object, `bare` clauses have no adverbials, `front` allows one of them in front,
        and `role` is the phenomenon that the whole clause is an instance of.
        """
        if negated is None:
            negated = self.chance(0.16) and not (tense and tense.modal == "must")
        subject = subject or self.subject(firm=negated)
        drawn, fixed = tense or self.tense(), verb
        verb = fixed or self.choose(verbs_for(subject.kind))
        while not fits(verb, subject, drawn) or (negated and drawn.modal == "must"):
            drawn = tense or self.tense()
            verb = fixed or self.choose(verbs_for(subject.kind))
        group = verb_group(verb, drawn.form, subject.agreement, modal=drawn.auxiliary, negated=negated)
        slots = self.choose(verb.frames)
        filled = [
            (slot, theme if theme and slot.case == "acc" else self.fill(slot, subject, group.negation))
            for slot in slots
        ]
        adverbials = (
            Adverbials() if bare or verb.manner == "stative" else self.adverbials(verb, subject, drawn, negated)
        )
        clause = assemble(subject, group, filled, adverbials, front=front and self.chance(0.5))
        clause.tense, clause.verb, clause.negated = drawn, verb.lemma, negated
        self.note_verb(verb, drawn, negated, role or ("inversion" if clause.front.german else ""))
        return clause

    def note_verb(self, verb: Verb, tense: Tense, negated: bool, role: str) -> None:
        """Notes the phenomena that the verb takes part in."""
        construction = "perfect" if tense.form == "perfect" else "future" if tense.modal == "will" else "modal"
        noted = {
            role: bool(role),
            "separable": bool(verb.particle),
            "negation": negated,
            construction: tense.form == "perfect" or bool(tense.modal),
        }
        for phenomenon, present in noted.items():
            if present:
                self.note(phenomenon, verb.lemma)

    def fill(self, slot: Slot, subject: Nominal, negation: English | None) -> Nominal:
        """What stands in a slot of the verb: a name now and then, else a noun phrase."""
        if "person" in slot.classes and self.chance(0.12):
            return self.name()
        determiners = PLAIN if slot.english else OBJECTS if slot.case == "acc" else RECIPIENTS
        if negation:
            determiners = NEGATED_OBJECTS if slot.case == "acc" and not slot.english else FIRM
        return self.nominal(
            slot.classes,
            slot.case,
            determiners,
            owner=subject.pronoun if "person" in subject.kind else "",
            negation=negation,
        )

    def adverbials(self, verb: Verb, subject: Nominal, tense: Tense, negated: bool) -> Adverbials:
        """At most one of place, manner and frequency, and a time beside place or manner."""
        time = NOTHING
        if self.chance(0.35) and not (negated and tense.times == "present"):
            time = self.time(tense)
        draw = self.random.random()
        if draw < 0.3 and verb.place and not (negated and verb.frames[0]):
            outdoors = verb.place == "anywhere" and "animal" in subject.kind
            return Adverbials(time=time, place=self.place("outdoors" if outdoors else verb.place))
        if negated or draw > 0.7:
            return Adverbials(time=time)
        if draw < 0.5 and MANNERS[verb.manner]:
            return Adverbials(time=time, manner=one_to_one(*self.choose(MANNERS[verb.manner])))
        if tense.modal or time.english or not subject.definite:
            return Adverbials(time=time)
        return Adverbials(frequency=one_to_one(*self.choose(FREQUENCIES[tense.form])))

    def predicate(
        self,
        subject: Nominal,
        tense: Tense,
        adjective: Adjective,
        *,
        negated: bool = False,
        degrees: Sequence[tuple[str, str]] = DEGREES,
        role: str = "",
    ) -> Clause:
        """A clause that says what somebody or something is like."""
        forms, german = BE[tense.form]
        words = english(forms[subject.agreement])
        finite = German(german[subject.agreement], words)
        degree = one_to_one(*self.choose(degrees)) if not negated and self.chance(0.35) else NOTHING
        negation = one_to_one("not", "nicht") if negated else NOTHING
        quality = one_to_one(adjective.english, adjective.german)
        phrases = [negation, degree, quality]
        source = [*subject.phrase.english, *words, *(word for phrase in phrases for word in phrase.english)]
        middle = [word for phrase in phrases for word in phrase.german]
        if negated:
            self.note("negation", adjective.english)
        if role:
            self.note(role, adjective.english)
        return Clause(subject, source, finite, middle, [], [finite], [], tense=tense)

    def age(self, subject: Nominal, tense: Tense) -> Clause:
        """A clause that says how old somebody is: `is forty-three years old` / `ist dreiundvierzig Jahre alt`."""
        forms, german = BE[tense.form]
        words = english(forms[subject.agreement])
        finite = German(german[subject.agreement], words)
        count = one_to_one(*number(self.count(subject.lemma)))
        years, old = one_to_one("years", "Jahre"), one_to_one("old", "alt")
        source = [*subject.phrase.english, *words, *count.english, *years.english, *old.english]
        return Clause(
            subject, source, finite, [*count.german, *years.german, *old.german], [], [finite], [], tense=tense
        )


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
    light, firm, loose, complements, after = [], [], [], [], []
    objects, rest = [], []
    for slot, nominal in filled:
        phrase = prepositional(slot, nominal)
        fields = complements if slot.english else light if nominal.light else firm if nominal.definite else loose
        fields += phrase.german
        after += phrase.after
        (rest if slot.english else objects).extend(phrase.english)
    nicht = []
    if group.negation and not any(group.negation in word.sure for word in loose):
        nicht = [German("nicht", [group.negation])]
    opening = NOTHING
    if front:
        opening, time, place = (time, NOTHING, place) if time.english else (place, time, NOTHING)
    source = [*subject.phrase.english, *group.auxiliaries, *frequency.english, *group.main, *objects]
    source += [*manner.english, *rest, *place.english, *time.english]
    middle = [
        *light,
        *time.german,
        *firm,
        *nicht,
        *frequency.german,
        *manner.german,
        *place.german,
        *loose,
        *complements,
    ]
    themes = [nominal for _, nominal in filled]
    return Clause(subject, source, group.finite, middle, group.right, group.final, after, opening, themes)
