"""Clauses and their circumstances: reasons, conditions, and the pronouns that reach back across a clause."""

from functools import cache

from seq2seq.data.grammar.clauses import ClauseDraw, fits, verb_named, verbs_alone
from seq2seq.data.grammar.draw import FUTURE, PAST, PERFECT, PRESENT, TENSES, Tense
from seq2seq.data.grammar.modifiers import DEGREES, Adjective, adjectives_of, motives, obstacles, reasons
from seq2seq.data.grammar.nouns import Noun, nouns_of
from seq2seq.data.grammar.order import Clause, final_clause, subordinate
from seq2seq.data.grammar.phrases import English, German, Nominal, Phrase, pronoun
from seq2seq.data.grammar.verbs import Verb

BECAUSE = ["because", "because", "because", "although"]
OWNED = ["the", "the", "the", "my", "a"]
WHO = [("person",), ("animal",)]
VOLUNTARY = [tense for tense in TENSES if tense.modal not in ("can", "must")]
CONJUNCTIONS = {
    "although": "obwohl",
    "because": "weil",
    "if": "wenn",
    "that": "dass",
    "whether": "ob",
    "while": "während",
}


@cache
def shared(first: Verb, second: Verb) -> tuple[str, ...]:
    """The classes of things that both verbs can be done to."""
    wanted = first.frames[0][0].classes
    return tuple(kind for kind in second.frames[0][0].classes if kind in wanted) or wanted


@cache
def things_that_are(qualities: tuple[str, ...], classes: tuple[str, ...]) -> list[tuple[Noun, Adjective]]:
    """The things of these classes that can have one of these qualities, each with one of them."""
    return [
        (noun, adjective)
        for noun in nouns_of(classes)
        for adjective in adjectives_of(noun.kind)
        if adjective.english in qualities and "person" not in noun.kind
    ]


def backdrop(tense: Tense) -> Tense:
    """The tense in which a circumstance of a clause in this tense is told."""
    return PAST if tense.form in ("past", "perfect") else PRESENT


class CircumstanceDraw(ClauseDraw):
    """Draws clauses with a circumstance attached."""

    def living(self) -> Nominal:
        """Somebody, or an animal, that a pronoun can take up."""
        if self.chance(0.12):
            return self.name()
        return self.nominal(self.choose(WHO), "nom", OWNED)

    def take_up(self, antecedent: Nominal, case: str = "nom") -> Nominal:
        """The pronoun for something said before, with the gender of its German noun."""
        self.note("pronoun", antecedent.lemma)
        return pronoun(antecedent.pronoun, antecedent.column, case)._replace(kind=antecedent.kind)

    def attach(self, clause: Clause, conjunction: str, inner: Clause) -> Clause:
        """The clause followed by a subordinate one."""
        self.note("subordinate")
        clause.append(subordinate(conjunction, CONJUNCTIONS[conjunction], final_clause(inner)))
        return clause

    def state_reason(self) -> Clause:
        """`The animal did not cross the road because it was tired`: the subject is, since only it can be."""
        subject = self.living()
        tense = self.choose(VOLUNTARY)
        verb = self.stirred(subject, tense)
        clause = self.clause(subject=subject, verb=verb, tense=tense, bare=True)
        conditional = clause.tense in (PRESENT, FUTURE) and self.chance(0.3)
        conjunction = "if" if conditional else self.choose(BECAUSE)
        return self.attach(clause, conjunction, self.state(self.take_up(subject), clause, conjunction))

    def stirred(self, subject: Nominal, tense: Tense) -> Verb:
        """A verb for what the subject does out of a state not mentioned yet, with nobody else around."""
        verbs = [verb for verb in verbs_alone(subject.kind) if fits(verb, subject, tense)]
        return self.choose([verb for verb in verbs if {state.english for state in motives(verb.lemma)} - self.used])

    def state(self, subject: Nominal, clause: Clause, conjunction: str) -> Clause:
        """The state a subject is in when the other clause is true because of it, or in spite of it."""
        favourable = clause.negated == (conjunction == "although")
        state = self.fresh(motives(clause.verb) if favourable else obstacles(clause.verb))
        return self.predicate(
            subject,
            backdrop(clause.tense),
            state,
            degrees=DEGREES if clause.negated and conjunction == "because" else DEGREES[:1],
            role="subordinate",
        )

    def thing_reason(self) -> Clause:
        """`The animal did not cross the road because it was wide`: the road was, since no animal is."""
        lemma = self.choose(list(reasons()))
        verb = verb_named(lemma)
        conjunction, negated = self.choose(BECAUSE), self.chance(0.35)
        good, bad = reasons()[lemma]
        if not good:
            negated = conjunction == "because"
        wanted = tuple(bad if negated == (conjunction == "because") else good)
        kind = ("runner",) if "runner" in verb.subjects and self.chance(0.7) else ("person",)
        subject = self.nominal(kind, "nom", OWNED)
        misleading = adjectives_of(subject.kind) if subject.pronoun == "it" else []
        noun, adjective = self.choose(
            [pair for pair in things_that_are(wanted, verb.frames[0][0].classes) if pair[1] not in misleading]
        )
        theme = self.nominal((), "acc", ["the"], noun=noun)
        tense = self.choose([PAST, PAST, PRESENT, PERFECT])
        tense = tense if fits(verb, subject, tense) else PERFECT
        clause = self.clause(subject=subject, verb=verb, theme=theme, tense=tense, negated=negated, bare=True)
        degrees = DEGREES if negated and conjunction == "because" else DEGREES[:1]
        inner = self.predicate(self.take_up(theme), backdrop(tense), adjective, degrees=degrees, role="subordinate")
        return self.attach(clause, conjunction, inner)

    def need_reason(self) -> Clause:
        """`The man bought the lamp because the king needed it`: the object comes back as one."""
        negated = self.chance(0.4)
        verb = verb_named(self.choose(["verkaufen", "wegwerfen"] if negated else ["kaufen", "reparieren", "stehlen"]))
        need = verb_named("brauchen")
        subject = self.nominal(("person",), "nom", OWNED)
        theme = self.nominal(shared(verb, need), "acc", ["the"])
        tense = self.choose([PAST, PAST, PRESENT, PERFECT])
        clause = self.clause(subject=subject, verb=verb, theme=theme, tense=tense, negated=negated, bare=True)
        same = subject.pronoun != "it" and self.chance(0.4)
        inner = self.clause(
            subject=self.take_up(subject) if same else self.nominal(("person",), "nom", OWNED),
            verb=need,
            theme=self.take_up(theme, "acc"),
            tense=backdrop(tense),
            negated=False,
            role="subordinate",
        )
        return self.attach(clause, "because", inner)

    def event(self) -> Clause:
        """`The king slept while the queen read a book`: two clauses side by side."""
        tense = self.choose([PAST, PAST, PRESENT])
        clause = self.clause(subject=self.living(), tense=tense, negated=False, bare=True)
        inner = self.clause(subject=self.living(), tense=tense, negated=False, bare=True, role="subordinate")
        return self.attach(clause, "while", inner)

    def condition(self) -> Clause:
        """`If the dog is hungry, it barks`: the subordinate clause takes the place before the finite verb."""
        subject = self.living()
        conjunction = self.choose(["if", "if", "because", "although"])
        tense = self.choose([PRESENT, FUTURE]) if conjunction == "if" else PAST
        resumed = self.take_up(subject)
        verb = self.stirred(resumed, tense)
        clause = self.clause(subject=resumed, verb=verb, tense=tense, bare=True, role="inversion")
        inner = self.state(subject, clause, conjunction)
        comma = English(",")
        words, (_, *german, _), _ = subordinate(conjunction, CONJUNCTIONS[conjunction], final_clause(inner))
        clause.front = Phrase([*words, comma], [*german, German(",", [comma])])
        self.note("subordinate")
        return clause
