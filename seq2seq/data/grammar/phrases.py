"""Phrases built once for both languages: every German word knows the English words it translates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seq2seq.data.grammar.inflection import (
    AUXILIARIES,
    CONTRACTIONS,
    DEFINITE,
    DETERMINERS,
    HAVE,
    PLURAL,
    PRONOUNS,
    STRONG,
    THIRD,
    cell,
    english_verb,
    german_noun,
    german_verb,
    number,
)
from seq2seq.data.grammar.modifiers import Adjective
from seq2seq.data.grammar.nouns import Noun
from seq2seq.data.grammar.verbs import Modal, Slot, Verb


@dataclass(eq=False, slots=True)
class English:
    """An English word; two words of one spelling are still two words."""

    text: str


class German(NamedTuple):
    """A German word and the English words it translates, surely or possibly."""

    text: str
    sure: Sequence[English] = ()
    possible: Sequence[English] = ()


class Phrase(NamedTuple):
    """Words of both languages, each in its own order; `after` stands behind the verb that closes a German clause."""

    english: list[English]
    german: list[German]
    after: Sequence[German] = ()


class Nominal(NamedTuple):
    """A noun phrase or pronoun with what the rest of the sentence must agree with."""

    phrase: Phrase
    agreement: int  # FIRST, THIRD or PLURAL
    column: str  # gender m, f, n, or p for plurals
    pronoun: str  # the English pronoun that takes it up
    kind: frozenset[str]
    lemma: str
    definite: bool = True
    light: bool = False  # a personal pronoun, which stands right after the finite verb


def english(text: str) -> list[English]:
    """The words of an English text."""
    return [English(word) for word in text.split()]


def one_to_one(source: str, target: str) -> Phrase:
    """One English word and its German word."""
    word = English(source)
    return Phrase([word], [German(target, (word,))])


POSSESSIVES = {"I": "my", "we": "our", "he": "his", "she": "her", "they": "their"}
NOMINATIVES = {"I": "ich", "we": "wir"}
OBJECTS = {"he": "him", "she": "her", "it": "it", "they": "them"}


def pronoun(name: str, column: str, case: str = "nom") -> Nominal:
    """A personal pronoun; the German one follows the gender of the noun it stands for."""
    german = NOMINATIVES.get(name) or cell(PRONOUNS[case], column)
    agreement = PLURAL if name in ("we", "they") else THIRD if name != "I" else 0
    phrase = one_to_one(name if case == "nom" else OBJECTS[name], german)
    kind = frozenset({"person"})
    return Nominal(phrase, agreement, column, name, kind, name, light=True)


def noun_phrase(
    noun: Noun,
    determiner: str,
    case: str,
    *,
    plural: bool = False,
    count: int = 0,
    adjective: Adjective | None = None,
    negation: English | None = None,
) -> Nominal:
    """A noun with its determiner ("" for none), number and adjective; `negation` and "a" or nothing make "kein"."""
    column = "p" if plural else noun.gender
    negated = [negation] if negation else []
    article = english(determiner)
    source: list[English] = []
    target: list[German] = []
    ending = STRONG
    if article or negated:
        stem, endings, ending = DETERMINERS["no" if negated else determiner]
        target.append(German(stem + cell(endings[case], column), negated + article))
    for word, translation in [number(count)] if count else []:
        numeral = one_to_one(word, translation)
        source, target = source + numeral.english, target + numeral.german
    if adjective:
        inflected = one_to_one(adjective.english, adjective.stem + cell(ending[case], column))
        source, target = source + inflected.english, target + inflected.german
    nouns = [English(word) for word in (noun.plural if plural else noun.singular)]
    source += nouns
    target.append(German(german_noun(noun, column, case), nouns))
    if determiner == "a" and source[0].text[0] in "aeiou":
        article[0].text = "an"
    return Nominal(
        Phrase(article + source, target),
        PLURAL if plural else THIRD,
        column,
        "they" if plural else pronoun_of(noun),
        noun.kind,
        noun.lemma,
        definite=determiner in DEFINITE,
    )


def pronoun_of(noun: Noun) -> str:
    """The English pronoun for the noun: he or she for grown persons, it for everything else."""
    return {"m": "he", "f": "she", "n": "it"}[noun.gender] if "person" in noun.kind else "it"


def name_phrase(name: str, pronoun_name: str) -> Nominal:
    """A person's name, the same in both languages and all cases."""
    column = "m" if pronoun_name == "he" else "f"
    return Nominal(one_to_one(name, name), THIRD, column, pronoun_name, frozenset({"person"}), name)


def prepositional(slot: Slot, nominal: Nominal) -> Phrase:
    """The phrase a preposition makes, contracted in German where article and preposition do: `im`, `zur`."""
    if not slot.english:
        return nominal.phrase
    words = english(" ".join(slot.english))
    source, (article, *rest), after = nominal.phrase
    contracted = CONTRACTIONS.get((slot.german, article.text))
    german = [German(contracted, [*words, *article.sure])] if contracted else [German(slot.german, words), article]
    return Phrase(words + source, german + rest, after)


class VerbGroup(NamedTuple):
    """The verb: English auxiliaries and verb, the German finite verb and what closes the clause in either order."""

    auxiliaries: list[English]
    main: list[English]
    finite: German
    right: list[German]  # closes a main clause: particle, participle or infinitive
    final: list[German]  # closes a subordinate clause: all of the verb
    negation: English | None = None


def inflected(forms: tuple[str, ...], tense: str, agreement: int, negation: list[English]) -> tuple[list[English], str]:
    """The do-support that a negation calls for, and the form of the verb that goes with it."""
    if not negation:
        return [], english_verb(forms, tense, agreement)
    support = "did" if tense == "past" else "does" if agreement == THIRD else "do"
    return [English(support), *negation], forms[0]


def verb_group(
    verb: Verb, tense: str, agreement: int, *, modal: Modal | None = None, negated: bool = False
) -> VerbGroup:
    """The verb in a tense (present, past, perfect), under a modal auxiliary if one is given."""
    if modal:
        return modal_group(verb, modal, tense, agreement, negated)
    negation = [English("not")] if negated else []
    if tense == "perfect":
        have = English(HAVE[agreement])
        main = [English(word) for word in (verb.forms[2], *verb.tail)]
        finite = German(AUXILIARIES[verb.auxiliary][agreement], [have])
        right = [German(verb.particle + verb.participle, main)]
        return VerbGroup([have, *negation], main, finite, right, [*right, finite], *negation)
    support, form = inflected(verb.forms, tense, agreement, negation)
    main = [English(word) for word in (form, *verb.tail)]
    text = german_verb(verb, tense, agreement)
    finite = German(text, main, support[:1])
    right = [German(verb.particle, main)] if verb.particle else []
    final = [German(verb.particle + text, main, support[:1])]
    return VerbGroup(support, main, finite, right, final, *negation)


def modal_group(verb: Verb, modal: Modal, tense: str, agreement: int, negated: bool) -> VerbGroup:
    """The verb as an infinitive under a modal: `wants to open` / `will ... aufmachen`."""
    main = [English(word) for word in (verb.forms[0], *verb.tail)]
    negation = [English("not")] if negated else []
    support: list[English] = []
    to: list[English] = []
    if modal.english == "want":
        support, form = inflected(("want", "wanted"), tense, agreement, negation)
        words, to = [English(form)], [English("to")]
        auxiliaries = [*support, *words, *to]
    elif negated and modal.negated:
        words = negation = [English(modal.negated)]
        auxiliaries = words
    else:
        words = [English(modal.english)]
        auxiliaries = words + negation
    text = modal.present[agreement]
    if tense == "past":
        text = modal.preterite + "n" if agreement == PLURAL else modal.preterite
    finite = German(text, words, support[:1])
    right = [German(verb.particle + verb.infinitive, main, to)]
    return VerbGroup(auxiliaries, main, finite, right, [*right, finite], *negation)
