"""Single clauses of the embedded grammar: who does what to whom, when, where and how; who is like what."""

from collections.abc import Sequence
from functools import cache

from seq2seq.data.grammar.draw import FIRM, FUTURE, NEGATED_OBJECTS, OBJECTS, PLAIN, RECIPIENTS, Draw, Tense
from seq2seq.data.grammar.inflection import BE, THIRD, number
from seq2seq.data.grammar.modifiers import ABSOLUTE, DEGREES, FREQUENCIES, MANNERS, Adjective
from seq2seq.data.grammar.nouns import LIVING, nouns_of
from seq2seq.data.grammar.order import NOTHING, Adverbials, Clause, assemble
from seq2seq.data.grammar.phrases import English, Nominal, Phrase, one_to_one, verb_group
from seq2seq.data.grammar.verbs import PLACES, Slot, Verb, verbs


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
        return not any(noun.kind & LIVING for noun in nouns_of(slot.classes))

    return [verb for verb in verbs_for(kind) if all(alone(slot) for frame in verb.frames for slot in frame)]


@cache
def verb_named(lemma: str) -> Verb:
    """The verb with this German infinitive."""
    return next(verb for verb in verbs() if verb.lemma == lemma)


def fits(verb: Verb, subject: Nominal, tense: Tense, negated: bool = False) -> bool:
    """Whether the verb has this tense, and a form in it that is not read as another tense (`they read`)."""
    if negated and tense.modal == "must":
        return False
    simple = tense.form != "perfect" and not tense.modal
    if "stative" in verb.how:
        return simple
    return not simple or verb.forms[0] != verb.forms[1] or subject.agreement == THIRD


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
        drawn, fixed = tense, verb
        while not (drawn and verb and fits(verb, subject, drawn, negated)):
            drawn, verb = tense or self.tense(), fixed or self.choose(verbs_for(subject.kind))
        group = verb_group(verb, drawn.form, subject.agreement, modal=drawn.auxiliary, negated=negated)
        slots = self.choose(verb.frames)
        filled = [
            (slot, theme if theme and slot.case == "acc" else self.fill(slot, subject, group.negation))
            for slot in slots
        ]
        bare = bare or "stative" in verb.how
        adverbials = Adverbials() if bare else self.adverbials(verb, subject, drawn, negated)
        clause = assemble(subject, group, filled, adverbials, front=front and self.chance(0.5))
        clause.tense, clause.verb, clause.negated = drawn, verb.lemma, negated
        self.note_verb(verb, drawn, negated, role or ("inversion" if clause.front.german else ""))
        return clause

    def note_verb(self, verb: Verb, tense: Tense, negated: bool, role: str) -> None:
        """Notes what the verb takes part in; but not where it has a form of its own, which train must have."""
        if verb.particle:
            self.note("separable")
        if tense.form == "perfect":
            self.note("perfect")
        if tense.modal:
            self.note("future" if tense is FUTURE else "modal", verb.lemma)
        if negated:
            self.note("negation", verb.lemma)
        if role:
            self.note(role, *([] if verb.particle else [verb.lemma]))

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
        groups = [group for group in verb.how if group in PLACES and not (negated and verb.frames[0])]
        manners = [adverb for group in verb.how for adverb in MANNERS.get(group, ())]
        draw = self.random.random()
        if draw < 0.3 and groups:
            group = "outdoors" if groups == ["around"] and "animal" in subject.kind else groups[0]
            return Adverbials(time=time, place=self.place(group))
        if draw < 0.5 and manners and not negated:
            return Adverbials(time=time, manner=one_to_one(*self.choose(manners)))
        awkward = negated or tense.modal or time.english or len(verb.frames[0]) > 1 or not subject.definite
        if draw > 0.7 or awkward:
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
        gradable = not negated and adjective.english not in ABSOLUTE
        degree = one_to_one(*self.choose(degrees)) if gradable and self.chance(0.35) else NOTHING
        negation = one_to_one("not", "nicht") if negated else NOTHING
        if negated:
            self.note("negation", adjective.english)
        if role:
            self.note(role)
        return be(subject, tense, [negation, degree, one_to_one(adjective.english, adjective.german)])

    def age(self, subject: Nominal, tense: Tense) -> Clause:
        """A clause that says how old somebody is: `is forty-three years old` / `ist dreiundvierzig Jahre alt`."""
        count = number(self.count(subject.lemma, 99 if "person" in subject.kind else 19))
        return be(subject, tense, [one_to_one(*count), one_to_one("years", "Jahre"), one_to_one("old", "alt")])


def be(subject: Nominal, tense: Tense, predicate: list[Phrase]) -> Clause:
    """The clause in which a form of "be" / "sein" joins the subject and these phrases."""
    forms, german = BE[tense.form]
    verb = one_to_one(forms[subject.agreement], german[subject.agreement])
    source = [*subject.phrase.english, *verb.english, *(word for phrase in predicate for word in phrase.english)]
    middle = [word for phrase in predicate for word in phrase.german]
    return Clause(subject, source, verb.german[0], middle, [], verb.german, [], tense=tense)
