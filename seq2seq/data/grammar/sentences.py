"""The sentence rules of the embedded grammar, from one clause up to nested ones."""

from collections.abc import Callable
from functools import cache

from seq2seq.data.grammar.clauses import (
    Clause,
    ClauseDraw,
    final_clause,
    fits,
    main_clause,
    subordinate,
    verb_named,
    verbs_about,
    verbs_alone,
    verbs_for,
)
from seq2seq.data.grammar.draw import FUTURE, PAST, PERFECT, PLAIN, PRESENT, Tense
from seq2seq.data.grammar.inflection import RELATIVES, cell
from seq2seq.data.grammar.modifiers import DEGREES, adjectives_of, motives, obstacles, reasons, sequels
from seq2seq.data.grammar.nouns import nouns_of
from seq2seq.data.grammar.phrases import English, German, Nominal, Phrase, one_to_one, pronoun
from seq2seq.data.grammar.verbs import Verb, clausal_verbs

BECAUSE = ["because", "because", "because", "although"]
OWNED = ["the", "the", "the", "my", "a"]
CONJUNCTIONS = {"because": "weil", "although": "obwohl", "if": "wenn", "that": "dass", "whether": "ob"}


@cache
def shared(first: Verb, second: Verb) -> tuple[str, ...]:
    """The classes of things that both verbs can be done to."""
    wanted = first.frames[0][0].classes
    return tuple(kind for kind in second.frames[0][0].classes if kind in wanted) or wanted


def backdrop(tense: Tense) -> Tense:
    """The tense in which a circumstance of a clause in this tense is told."""
    return PAST if tense.form in ("past", "perfect") else PRESENT


class SentenceDraw(ClauseDraw):
    """Draws whole sentences; each rule returns a clause that may have others attached."""

    def simple(self) -> Clause:
        """One clause, maybe with an adverbial in front."""
        return self.clause(front=True)

    def quality(self) -> Clause:
        """What somebody or something is like, or how old somebody is."""
        tense = self.choose([PRESENT, PAST])
        if self.chance(0.2):
            return self.age(self.living(), tense)
        subject = self.subject(firm=True)
        return self.predicate(subject, tense, self.adjective(adjectives_of(subject.kind)), negated=self.chance(0.2))

    def living(self) -> Nominal:
        """Somebody, or an animal, that a pronoun can take up."""
        if self.chance(0.12):
            return self.name()
        return self.nominal(self.choose([("person",), ("animal",)]), "nom", OWNED)

    def take_up(self, antecedent: Nominal, case: str = "nom") -> Nominal:
        """The pronoun for something said before, with the gender of its German noun."""
        self.note("pronoun", antecedent.lemma)
        return pronoun(antecedent.pronoun, antecedent.column, case)._replace(kind=antecedent.kind)

    def attach(self, clause: Clause, conjunction: str, inner: Clause) -> Clause:
        """The clause followed by a subordinate one."""
        self.tags.add("subordinate")
        clause.append(subordinate(conjunction, CONJUNCTIONS[conjunction], final_clause(inner)))
        return clause

    def state_reason(self) -> Clause:
        """`The animal did not cross the road because it was tired`: the subject is, since only it can be."""
        subject = self.living()
        tense = self.tense()
        verb = self.choose([verb for verb in verbs_alone(subject.kind) if fits(verb, subject, tense)])
        clause = self.clause(subject=subject, verb=verb, tense=tense, bare=True)
        conjunction = self.choose(BECAUSE)
        return self.attach(clause, conjunction, self.state(self.take_up(subject), clause, conjunction))

    def state(self, subject: Nominal, clause: Clause, conjunction: str) -> Clause:
        """The state a subject is in when the other clause is true because of it, or in spite of it."""
        favourable = clause.negated == (conjunction == "although")
        state = self.adjective(motives(clause.verb) if favourable else obstacles(clause.verb))
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
        wanted = bad if negated == (conjunction == "because") else good
        kind = ("runner",) if "runner" in verb.subjects and self.chance(0.7) else ("person",)
        subject = self.nominal(kind, "nom", OWNED)
        pairs = [
            (noun, adjective)
            for noun in nouns_of(verb.frames[0][0].classes)
            for adjective in adjectives_of(noun.kind)
            if adjective.english in wanted
            and "person" not in noun.kind
            and not (subject.pronoun == "it" and adjective in adjectives_of(subject.kind))
        ]
        noun, adjective = self.choose(pairs)
        theme = self.nominal_of(noun, "acc", ["the"], plain=True)
        tense = self.choose([PAST, PAST, PRESENT, PERFECT])
        tense = tense if fits(verb, subject, tense) else PERFECT
        clause = self.clause(subject=subject, verb=verb, theme=theme, tense=tense, negated=negated, bare=True)
        degrees = DEGREES if negated and conjunction == "because" else DEGREES[:1]
        inner = self.predicate(self.take_up(theme), backdrop(tense), adjective, degrees=degrees, role="subordinate")
        return self.attach(clause, conjunction, inner)

    def need_reason(self) -> Clause:
        """`The man bought the lamp because the king needed it`: the object comes back as one."""
        need = verb_named("brauchen")
        negated = self.chance(0.4)
        verb = verb_named(self.choose(["verkaufen", "wegwerfen"] if negated else ["kaufen", "reparieren", "stehlen"]))
        subject = self.nominal(("person",), "nom", OWNED)
        classes = set(verb.frames[0][0].classes) & set(need.frames[0][0].classes)
        theme = self.nominal(tuple(sorted(classes)), "acc", ["the"])
        tense = self.choose([PAST, PAST, PRESENT, PERFECT])
        clause = self.clause(subject=subject, verb=verb, theme=theme, tense=tense, negated=negated, bare=True)
        other = self.nominal(("person",), "nom", OWNED)
        inner = self.clause(
            subject=self.take_up(subject) if subject.pronoun in ("he", "she") and self.chance(0.4) else other,
            verb=need,
            theme=self.take_up(theme, "acc"),
            tense=backdrop(tense),
            negated=False,
            role="subordinate",
        )
        return self.attach(clause, "because", inner)

    def event_reason(self) -> Clause:
        """A clause and a whole other one as its reason."""
        tense = self.choose([PAST, PAST, PRESENT])
        clause = self.clause(subject=self.living(), tense=tense, bare=True)
        inner = self.clause(subject=self.living(), tense=tense, role="subordinate")
        return self.attach(clause, self.choose(BECAUSE), inner)

    def condition(self) -> Clause:
        """`If the dog is hungry, it barks`: the subordinate clause takes the place before the finite verb."""
        subject = self.living()
        conjunction = self.choose(["if", "if", "because", "although"])
        tense = self.choose([PRESENT, FUTURE]) if conjunction == "if" else PAST
        resumed = self.take_up(subject)
        verb = self.choose([verb for verb in verbs_alone(subject.kind) if fits(verb, resumed, tense)])
        clause = self.clause(subject=resumed, verb=verb, tense=tense, bare=True, role="inversion")
        inner = self.state(subject, clause, conjunction)
        comma = English(",")
        words, (_, *german, _), _ = subordinate(conjunction, CONJUNCTIONS[conjunction], final_clause(inner))
        clause.front = Phrase([*words, comma], [*german, German(",", [comma])])
        self.tags.add("subordinate")
        return clause

    def thought(self, content: Callable[[], Clause] | None = None) -> Clause:
        """`Anna knows that ...`, `The king asked whether ...`."""
        conjunction, verb = self.choose(clausal_verbs())
        tense = self.choose([PAST, PRESENT])
        negated = conjunction == "whether" and verb.lemma == "wissen" and self.chance(0.6)
        subject = self.person()
        clause = self.clause(subject=subject, verb=verb, tense=tense, negated=negated, bare=True)
        if content:
            return self.attach(clause, conjunction, content())
        inner_tense = PAST if tense is PAST else None
        if self.chance(0.25):
            whom = self.living()
            inner = self.predicate(whom, tense, self.adjective(adjectives_of(whom.kind)), role="subordinate")
        elif subject.pronoun in ("he", "she") and not subject.light and self.chance(0.3):
            inner = self.clause(subject=self.take_up(subject), tense=inner_tense, role="subordinate")
        else:
            inner = self.clause(tense=inner_tense, role="subordinate")
        return self.attach(clause, conjunction, inner)

    def person(self) -> Nominal:
        """Somebody who says or thinks something."""
        if self.chance(0.3):
            return self.name()
        return self.nominal(("person",), "nom", OWNED)

    def described(self) -> Clause:
        """A clause whose subject or object has a relative clause."""
        tense = self.choose([PAST, PRESENT])
        if self.chance(0.5):
            subject = self.nominal(self.choose([("person",), ("animal",)]), "nom", ["the", "the", "this", "a"])
            return self.clause(subject=self.relative(subject, tense), tense=tense, negated=False, bare=True)
        theme = self.nominal(
            self.choose([("person",), ("animal",), ("small",), ("clothing",), ("furniture",)]), "acc", PLAIN
        )
        verb = self.choose(verbs_about(theme.kind))
        tense = tense if verb.forms[0] != verb.forms[1] else PERFECT
        tense = backdrop(tense) if verb.manner == "stative" else tense
        subject = self.nominal(("person",), "nom", OWNED)
        theme = self.relative(theme, backdrop(tense))
        return self.clause(subject=subject, verb=verb, theme=theme, tense=tense, negated=False, bare=True)

    def relative(self, head: Nominal, tense: Tense) -> Nominal:
        """The noun phrase with a relative clause about it."""
        self.note("relative", head.lemma)
        person = "person" in head.kind
        draw = self.random.random()
        if draw < 0.4 and verbs_about(head.kind):
            verb = self.choose([verb for verb in verbs_about(head.kind) if verb.forms[0] != verb.forms[1]])
            gap = head._replace(phrase=Phrase([], []), light=True)
            subject = self.nominal(("person",), "nom", ["the", "the", "my"])
            inner = self.clause(
                subject=subject, verb=verb, theme=gap, tense=tense, negated=False, bare=True, role="relative"
            )
            opening, case = "whom" if person else "which", "acc"
        else:
            gap = head._replace(phrase=Phrase([], []))
            opening, case = "who" if person else "which", "nom"
            if draw < 0.7 or not verbs_for(head.kind):
                inner = self.predicate(gap, tense, self.adjective(adjectives_of(head.kind)), role="relative")
            else:
                inner = self.clause(subject=gap, tense=tense, negated=False, bare=True, role="relative")
        clause = subordinate(opening, cell(RELATIVES[case], head.column), final_clause(inner))
        words, german, _ = head.phrase
        return head._replace(phrase=Phrase([*words, *clause.english], german, clause.german))

    def sequence(self) -> Clause:
        """`The boy opened the letter and read it`."""
        first = self.choose(list(sequels()))
        verb, second = verb_named(first), verb_named(self.choose(sequels()[first]))
        subject = self.nominal(("hunter",) if first == "fangen" else ("person",), "nom", OWNED)
        classes = shared(verb, second)
        theme = self.nominal(classes, "acc", ["the", "the", "a"])
        tense = self.choose([PAST, PRESENT])
        clause = self.clause(subject=subject, verb=verb, theme=theme, tense=tense, negated=False, bare=True, front=True)
        gap = subject._replace(phrase=Phrase([], []))
        rest = main_clause(
            self.clause(
                subject=gap, verb=second, theme=self.take_up(theme, "acc"), tense=tense, negated=False, bare=True
            )
        )
        conjunction = one_to_one("and", "und")
        clause.append(Phrase(conjunction.english + rest.english, conjunction.german + rest.german))
        return clause

    def contrast(self, first: Clause, second: Clause) -> Clause:
        """Two clauses joined by `, but`."""
        comma, but, rest = one_to_one(",", ","), one_to_one("but", "aber"), main_clause(second)
        first.append(comma)
        first.append(but)
        first.append(rest)
        return first

    def contrast_of_simple(self) -> Clause:
        """Two single clauses joined by `, but`."""
        tense = self.choose([PAST, PRESENT])
        first = self.clause(subject=self.living(), tense=tense, bare=True)
        return self.contrast(first, self.clause(subject=self.living(), tense=tense, bare=True))

    def any_reason(self) -> Clause:
        """A clause with a reason."""
        return self.choose([self.state_reason, self.thing_reason, self.need_reason, self.event_reason])()

    def sentence(self) -> Clause:
        """A sentence of the usual length."""
        rules = {
            self.simple: 44,
            self.quality: 7,
            self.state_reason: 9,
            self.thing_reason: 7,
            self.need_reason: 4,
            self.event_reason: 3,
            self.condition: 5,
            self.thought: 9,
            self.described: 8,
            self.sequence: 3,
            self.contrast_of_simple: 2,
        }
        return self.random.choices(list(rules), rules.values())[0]()

    def long_sentence(self) -> Clause:
        """A sentence of several clauses, nested or in a row."""
        embeddable = [self.any_reason, self.described, self.thought]
        draw = self.random.random()
        if draw < 0.35:
            return self.thought(lambda: self.thought(self.any_reason))
        if draw < 0.6:
            return self.thought(lambda: self.thought(self.described))
        first = self.choose([*embeddable, self.condition])()
        return self.contrast(first, self.choose([*embeddable, self.condition])())
