"""Golden sentences of the embedded grammar: one or more for each phenomenon, built by hand, with their word links."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from seq2seq.data.grammar import render
from seq2seq.data.grammar.clauses import verb_named
from seq2seq.data.grammar.compounds import compounds
from seq2seq.data.grammar.draw import FUTURE, PAST, PERFECT, PRESENT, Tense
from seq2seq.data.grammar.modifiers import adjectives
from seq2seq.data.grammar.nouns import nouns
from seq2seq.data.grammar.order import NOTHING, Clause, final_clause, subordinate
from seq2seq.data.grammar.phrases import Nominal, name_phrase, noun_phrase, one_to_one
from seq2seq.data.grammar.sentences import SentenceDraw


def phrase(noun: str, determiner: str, case: str, *, adjective: str = "", **options: Any) -> Nominal:
    quality = adjectives()[adjective] if adjective else None
    return noun_phrase(nouns()[noun], determiner, case, adjective=quality, **options)


def the(noun: str, case: str = "nom", **options: Any) -> Nominal:
    return phrase(noun, "the", case, **options)


def a(noun: str, case: str = "nom", **options: Any) -> Nominal:
    return phrase(noun, "a", case, **options)


def counted(count: int, noun: str, adjective: str) -> Nominal:
    return phrase(noun, "", "acc", plural=True, count=count, adjective=adjective)


def say(draw: SentenceDraw, subject: Nominal, verb: str, theme: Nominal | None = None, **options: Any) -> Clause:
    settings: dict[str, Any] = {"tense": PRESENT, "negated": False, "bare": True} | options
    return draw.clause(subject=subject, verb=verb_named(verb), theme=theme, **settings)


def tired_animal(draw: SentenceDraw) -> Clause:
    animal = the("animal")
    clause = say(draw, animal, "überqueren", the("road", "acc"), tense=PAST, negated=True)
    reason = draw.predicate(draw.take_up(animal), PAST, adjectives()["tired"])
    return draw.attach(clause, "because", reason)


def wide_road(draw: SentenceDraw) -> Clause:
    road = the("road", "acc")
    clause = say(draw, the("animal"), "überqueren", road, tense=PAST, negated=True)
    return draw.attach(clause, "because", draw.predicate(draw.take_up(road), PAST, adjectives()["wide"]))


def yesterday(draw: SentenceDraw) -> Clause:
    clause = say(draw, the("child"), "sehen", the("dog", "acc"), tense=PAST)
    clause.front = one_to_one("yesterday", "gestern")
    return clause


def garden_door() -> Nominal:
    compound = next(noun for noun in compounds()["door"] if noun.lemma == "garden door")
    return noun_phrase(compound, "the", "acc")


def kein(draw: SentenceDraw) -> Clause:
    class Choosy(SentenceDraw):
        def fill(self, slot: Any, subject: Any, negation: Any) -> Nominal:
            return noun_phrase(nouns()["lamp"], "a", slot.case, negation=negation)

    return say(Choosy(draw.random), name_phrase("Anna", "she"), "kaufen", negated=True)


def because_it_opens(draw: SentenceDraw) -> Clause:
    reason = say(draw, name_phrase("Max", "he"), "aufmachen", the("door", "acc"))
    return draw.attach(say(draw, the("dog"), "aufwachen"), "because", reason)


def who_is_tired(draw: SentenceDraw) -> Clause:
    boy = the("boy", "acc")
    inner = draw.predicate(boy._replace(phrase=NOTHING), PRESENT, adjectives()["tired"])
    relative = subordinate("who", "der", final_clause(inner))
    described = boy._replace(
        phrase=boy.phrase._replace(english=boy.phrase.english + relative.english, after=relative.german)
    )
    return say(draw, the("nun"), "anrufen", described)


WANTED = Tense("past", "want", "past")

GOLDEN: dict[str, tuple[Callable[[SentenceDraw], Clause], str, str, str]] = {
    "accusative": (
        lambda draw: say(draw, the("boy"), "sehen", the("lion", "acc", adjective="old")),
        "The boy sees the old lion .",
        "Der Junge sieht den alten Löwen .",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6",
    ),
    "agreement": (
        lambda draw: say(draw, a("child", adjective="small"), "kaufen", a("apple", "acc", adjective="red")),
        "A small child buys a red apple .",
        "Ein kleines Kind kauft einen roten Apfel .",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-7",
    ),
    "inversion": (
        yesterday,
        "Yesterday the child saw the dog .",
        "Gestern sah das Kind den Hund .",
        "0-0 1-2 2-3 3-1 4-4 5-5 6-6",
    ),
    "pronoun of the subject": (
        tired_animal,
        "The animal did not cross the road because it was tired .",
        "Das Tier überquerte die Straße nicht , weil es müde war .",
        "0-0 1-1 2p2 3-5 4-2 5-3 6-4 7p6 7-7 8-8 9-10 10-9 11-11",
    ),
    "pronoun of the object": (
        wide_road,
        "The animal did not cross the road because it was wide .",
        "Das Tier überquerte die Straße nicht , weil sie breit war .",
        "0-0 1-1 2p2 3-5 4-2 5-3 6-4 7p6 7-7 8-8 9-10 10-9 11-11",
    ),
    "separable": (
        lambda draw: say(draw, name_phrase("Anna", "she"), "aufmachen", the("window", "acc")),
        "Anna opens the window .",
        "Anna macht das Fenster auf .",
        "0-0 1-1 1-4 2-2 3-3 4-5",
    ),
    "separable and phrasal": (
        lambda draw: say(draw, the("boy"), "einschalten", the("lamp", "acc"), negated=True),
        "The boy does not turn on the lamp .",
        "Der Junge schaltet die Lampe nicht ein .",
        "0-0 1-1 2p2 3-5 4-2 4-6 5-2 5-6 6-3 7-4 8-7",
    ),
    "negation by kein": (
        kein,
        "Anna does not buy a lamp .",
        "Anna kauft keine Lampe .",
        "0-0 1p1 2-2 3-1 4-2 5-3 6-4",
    ),
    "number": (
        lambda draw: say(draw, the("king"), "finden", counted(21, "hat", "new"), tense=PAST),
        "The king found twenty-one new hats .",
        "Der König fand einundzwanzig neue Hüte .",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6",
    ),
    "compound": (
        lambda draw: say(draw, the("king"), "zumachen", garden_door()),
        "The king closes the garden door .",
        "Der König macht die Gartentür zu .",
        "0-0 1-1 2-2 2-5 3-3 4-4 5-4 6-6",
    ),
    "perfect": (
        lambda draw: say(draw, the("queen"), "sehen", the("prince", "acc"), tense=PERFECT),
        "The queen has seen the prince .",
        "Die Königin hat den Prinzen gesehen .",
        "0-0 1-1 2-2 3-5 4-3 5-4 6-6",
    ),
    "perfect with sein": (
        lambda draw: say(draw, the("mouse", plural=True), "einschlafen", tense=PERFECT),
        "The mice have fallen asleep .",
        "Die Mäuse sind eingeschlafen .",
        "0-0 1-1 2-2 3-3 4-3 5-4",
    ),
    "future": (
        lambda draw: say(draw, the("child"), "zumachen", the("door", "acc"), tense=FUTURE),
        "The child will close the door .",
        "Das Kind wird die Tür zumachen .",
        "0-0 1-1 2-2 3-5 4-3 5-4 6-6",
    ),
    "relative": (
        who_is_tired,
        "The nun phones the boy who is tired .",
        "Die Nonne ruft den Jungen an , der müde ist .",
        "0-0 1-1 2-2 2-5 3-3 4-4 5p6 5-7 6-9 7-8 8-10",
    ),
    "modal": (
        lambda draw: say(draw, the("man", plural=True), "aufmachen", the("gate", "acc"), tense=WANTED),
        "The men wanted to open the gate .",
        "Die Männer wollten das Tor aufmachen .",
        "0-0 1-1 2-2 3p5 4-5 5-3 6-4 7-6",
    ),
    "subordinate": (
        because_it_opens,
        "The dog wakes up because Max opens the door .",
        "Der Hund wacht auf , weil Max die Tür aufmacht .",
        "0-0 1-1 2-2 2-3 3-2 3-3 4p4 4-5 5-6 6-9 7-7 8-8 9-10",
    ),
}


@pytest.mark.parametrize("phenomenon", GOLDEN)
def test_phenomenon_gives_the_golden_sentence_and_links(phenomenon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, source, target, links = GOLDEN[phenomenon]
    draw = SentenceDraw(Random(3))
    monkeypatch.setattr(draw, "chance", lambda probability: False)
    assert render(build(draw), set())[:3] == (source, target, links)
