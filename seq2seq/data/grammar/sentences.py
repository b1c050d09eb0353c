"""The sentence rules of the embedded grammar, from one clause up to nested ones."""

from collections.abc import Callable

from seq2seq.data.grammar.circumstances import OWNED, WHO, CircumstanceDraw, backdrop, shared
from seq2seq.data.grammar.clauses import verb_named, verbs_about, verbs_for
from seq2seq.data.grammar.draw import PAST, PERFECT, PLAIN, PRESENT, Tense
from seq2seq.data.grammar.inflection import RELATIVES, cell
from seq2seq.data.grammar.modifiers import sequels
from seq2seq.data.grammar.order import Clause, final_clause, main_clause, subordinate
from seq2seq.data.grammar.phrases import Nominal, Phrase, one_to_one
from seq2seq.data.grammar.verbs import clausal_verbs

WHAT = [("person",), ("animal",), ("small",), ("clothing",), ("furniture",)]


class SentenceDraw(CircumstanceDraw):
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
        return self.predicate(subject, tense, self.adjective(subject.kind), negated=self.chance(0.2))

    def thought(self, content: Callable[[], Clause] | None = None) -> Clause:
        """`Anna knows that ...`, `The king asked whether ...`."""
        unused = [(conjunction, verb) for conjunction, verb in clausal_verbs() if verb.lemma not in self.used]
        conjunction, verb = self.choose(unused)
        self.used.add(verb.lemma)
        tense = self.choose([PAST, PRESENT])
        negated = conjunction == "whether" and verb.lemma == "wissen" and self.chance(0.6)
        subject = self.person()
        clause = self.clause(subject=subject, verb=verb, tense=tense, negated=negated, bare=True)
        if content:
            return self.attach(clause, conjunction, content())
        inner_tense = PAST if tense is PAST else None
        if self.chance(0.25):
            whom = self.living()
            inner = self.predicate(whom, tense, self.adjective(whom.kind), role="subordinate")
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
            subject = self.nominal(self.choose(WHO), "nom", ["the", "the", "this", "a"])
            return self.clause(subject=self.relative(subject, tense), tense=tense, negated=False, bare=True)
        theme = self.nominal(self.choose(WHAT), "acc", PLAIN)
        verb = self.choose(verbs_about(theme.kind))
        self.used.add(verb.lemma)
        tense = tense if verb.forms[0] != verb.forms[1] else PERFECT
        subject = self.nominal(("person",), "nom", OWNED)
        theme = self.relative(theme, backdrop(tense))
        return self.clause(subject=subject, verb=verb, theme=theme, tense=tense, negated=False, bare=True)

    def relative(self, head: Nominal, tense: Tense) -> Nominal:
        """The noun phrase with a relative clause about it."""
        self.note("relative", head.lemma)
        person = not head.kind.isdisjoint(("person", "infant"))
        draw = self.random.random()
        if draw < 0.4 and verbs_about(head.kind):
            verbs = [verb for verb in verbs_about(head.kind) if verb.lemma not in self.used]
            verb = self.choose([verb for verb in verbs if verb.forms[0] != verb.forms[1]])
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
                inner = self.predicate(gap, tense, self.adjective(head.kind), role="relative")
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

    def reason(self) -> Clause:
        """A clause with a reason."""
        return self.choose([self.state_reason, self.thing_reason, self.need_reason, self.event])()

    def sentence(self) -> Clause:
        """A sentence of the usual length."""
        return self.choose(RULES)(self)

    def long_sentence(self) -> Clause:
        """A sentence of several clauses, nested or in a row."""
        if self.chance(0.5):
            return self.thought(lambda: self.thought(self.choose([self.reason, self.described])))
        parts = [self.reason, self.described, self.thought, self.condition]
        return self.contrast(self.choose(parts)(), self.choose(parts)())


RULES: list[Callable[[SentenceDraw], Clause]] = [
    *[SentenceDraw.simple] * 44,
    *[SentenceDraw.quality] * 7,
    *[SentenceDraw.state_reason] * 9,
    *[SentenceDraw.thing_reason] * 7,
    *[SentenceDraw.need_reason] * 4,
    *[SentenceDraw.event] * 3,
    *[SentenceDraw.condition] * 5,
    *[SentenceDraw.thought] * 9,
    *[SentenceDraw.described] * 8,
    *[SentenceDraw.sequence] * 3,
    *[SentenceDraw.contrast_of_simple] * 2,
]
