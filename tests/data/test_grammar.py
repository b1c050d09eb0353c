"""Tests of the embedded grammar: its sentences, its word links, and what separates its splits."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from random import Random

import pytest

from seq2seq.data.grammar import LONGEST, PHENOMENA, SHORTEST_LONG, SPLITS, Sentence, generate, held_out, render
from seq2seq.data.grammar.clauses import verb_named
from seq2seq.data.grammar.compounds import compounds
from seq2seq.data.grammar.draw import FUTURE, PAST, PERFECT, PRESENT
from seq2seq.data.grammar.inflection import german_noun, number
from seq2seq.data.grammar.modifiers import adjectives
from seq2seq.data.grammar.nouns import nouns
from seq2seq.data.grammar.order import NOTHING, Clause, final_clause, subordinate
from seq2seq.data.grammar.phrases import Nominal, name_phrase, noun_phrase, one_to_one
from seq2seq.data.grammar.sentences import SentenceDraw
from seq2seq.data.grammar.verbs import verbs


@cache
def sentences(split: str) -> list[Sentence]:
    return generate(split)


def phrase(noun: str, determiner: str, case: str, *, adjective: str = "", **options) -> Nominal:
    quality = adjectives()[adjective] if adjective else None
    return noun_phrase(nouns()[noun], determiner, case, adjective=quality, **options)


def the(noun: str, case: str = "nom", **options) -> Nominal:
    return phrase(noun, "the", case, **options)


def a(noun: str, case: str = "nom", **options) -> Nominal:
    return phrase(noun, "a", case, **options)


def counted(count: int, noun: str, adjective: str) -> Nominal:
    return phrase(noun, "", "acc", plural=True, count=count, adjective=adjective)


def say(draw: SentenceDraw, subject: Nominal, verb: str, theme: Nominal | None = None, **options) -> Clause:
    settings = {"tense": PRESENT, "negated": False, "bare": True} | options
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
        def fill(self, slot, subject, negation):
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
        "0-0 1-1 2p2 3-5 4-2 5-3 6-4 7-7 7p6 8-8 9-10 10-9 11-11",
    ),
    "pronoun of the object": (
        wide_road,
        "The animal did not cross the road because it was wide .",
        "Das Tier überquerte die Straße nicht , weil sie breit war .",
        "0-0 1-1 2p2 3-5 4-2 5-3 6-4 7-7 7p6 8-8 9-10 10-9 11-11",
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
        "0-0 1-1 2-2 2-5 3-3 4-4 5-7 5p6 6-9 7-8 8-10",
    ),
    "subordinate": (
        because_it_opens,
        "The dog wakes up because Max opens the door .",
        "Der Hund wacht auf , weil Max die Tür aufmacht .",
        "0-0 1-1 2-2 2-3 3-2 3-3 4-5 4p4 5-6 6-9 7-7 8-8 9-10",
    ),
}


@pytest.mark.parametrize("phenomenon", GOLDEN)
def test_phenomenon_gives_the_golden_sentence_and_links(phenomenon):
    build, source, target, links = GOLDEN[phenomenon]
    draw = SentenceDraw(Random(3))
    draw.chance = lambda probability: False
    assert render(build(draw), set())[:3] == (source, target, links)


def test_same_seed_gives_same_sentences_under_any_hash_seed():
    command = (
        "import hashlib; from seq2seq.data.grammar import generate;"
        "print(hashlib.sha256(repr(generate('val')).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", command],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {hashlib.sha256(repr(generate("val")).encode()).hexdigest() + "\n"}


def test_another_seed_gives_other_sentences_of_the_same_split_only():
    other = {sentence.source for sentence in generate("test", seed=5)}
    assert len(other & {sentence.source for sentence in sentences("test")}) < 50
    assert not other & {sentence.source for sentence in sentences("train")}


def test_splits_have_their_sizes_and_share_no_source():
    assert {split: len(sentences(split)) for split in SPLITS} == SPLITS
    sources = [sentence.source for split in SPLITS for sentence in sentences(split)]
    assert len(set(sources)) == sum(SPLITS.values())


def test_every_link_joins_two_words_and_every_word_of_both_sides_is_linked():
    for split in SPLITS:
        for source, target, links, _ in sentences(split):
            pairs = [re.fullmatch(r"(\d+)[-p](\d+)", link).groups() for link in links.split()]
            assert {int(i) for i, _ in pairs} == set(range(len(source.split()))), source
            assert {int(j) for _, j in pairs} == set(range(len(target.split()))), target


def test_every_target_word_but_a_comma_has_a_sure_link():
    for source, target, links, _ in sentences("test"):
        sure = {int(link.split("-")[1]) for link in links.split() if "-" in link}
        unsure = [word for j, word in enumerate(target.split()) if j not in sure]
        assert set(unsure) <= {","}, source


def test_texts_are_words_and_punctuation_between_single_spaces():
    for split in SPLITS:
        for source, target, _, _ in sentences(split):
            for text in (source, target):
                assert re.fullmatch(r"[A-ZÄÖÜ][\w-]*( [\w-]+| ,)* \.", text), text
                assert ", ," not in text and ", ." not in text, text


def test_articles_agree_with_every_german_noun_after_them():
    wanted = {}
    for noun in [*nouns().values(), *(noun for list_ in compounds().values() for noun in list_)]:
        wanted.setdefault(german_noun(noun, noun.gender, "nom"), set()).update(
            {"m": {"der", "den", "dem"}, "f": {"die", "der"}, "n": {"das", "dem"}}[noun.gender]
        )
        wanted.setdefault(german_noun(noun, noun.gender, "acc"), set()).update(
            {"den", "dem"} if "weak" in noun.kind else ()
        )
        wanted.setdefault(german_noun(noun, "p", "nom"), set()).add("die")
        wanted.setdefault(german_noun(noun, "p", "dat"), set()).add("den")
    checked = 0
    for _, target, _, _ in sentences("train"):
        for article, noun in re.findall(r"\b([Dd](?:er|ie|as|en|em)) ([A-ZÄÖÜ]\w+)", target):
            if noun in wanted:
                checked += 1
                assert article.lower() in wanted[noun], target
    assert checked > 10_000


def test_pronoun_has_the_gender_of_its_german_antecedent():
    genders = {noun.german: noun.gender for noun in nouns().values() if noun.lemma != "child"}
    checked = 0
    for source, target, _, _ in sentences("train"):
        if re.search(r"^(The|A|My) \w+ [^,]* because it was (tired|ill|hungry|sad) \.$", source):
            subject = next((word for word in target.split()[1:3] if word in genders), None)
            pronoun = re.search(r", weil (\w+) ", target)[1]
            if subject:
                checked += 1
                assert pronoun == {"m": "er", "f": "sie", "n": "es"}[genders[subject]], target
    assert checked > 30


def test_no_source_has_two_translations_even_across_seeds():
    translations: dict[str, str] = {}
    for seed in (0, 1):
        for split in ("val", "test", "test_long", "test_unseen"):
            for sentence in generate(split, seed=seed):
                assert translations.setdefault(sentence.source, sentence.target) == sentence.target


def test_long_sentences_are_longer_than_all_others():
    lengths = {split: [len(sentence.source.split()) for sentence in sentences(split)] for split in SPLITS}
    assert min(lengths["test_long"]) >= SHORTEST_LONG
    assert max(max(lengths[split]) for split in SPLITS if split != "test_long") <= LONGEST < SHORTEST_LONG
    assert 8 <= sum(lengths["train"]) / SPLITS["train"] <= 11


def test_every_word_and_phenomenon_of_test_unseen_occurs_in_train():
    for column in ("source", "target", "tags"):
        seen = {word for sentence in sentences("train") for word in getattr(sentence, column).split()}
        assert {word for sentence in sentences("test_unseen") for word in getattr(sentence, column).split()} <= seen


def test_a_word_and_phenomenon_held_out_meet_in_test_unseen_alone():
    assert held_out("king", "pronoun") and not held_out("queen", "pronoun")
    because = re.compile(r"^The king [^,]* because he was")
    assert not any(
        because.match(sentence.source) for split in ("train", "val", "test") for sentence in sentences(split)
    )
    assert any(because.match(sentence.source) for sentence in sentences("test_unseen"))
    assert any(re.match(r"^The queen [^,]* because she was", sentence.source) for sentence in sentences("train"))


def test_every_phenomenon_tags_many_sentences_of_train_and_nothing_else_does():
    counts = dict.fromkeys(PHENOMENA, 0)
    for sentence in sentences("train"):
        for tag in sentence.tags.split():
            counts[tag] += 1
    assert min(counts.values()) > 400, counts


@pytest.mark.parametrize(
    ("n", "english", "german"),
    [
        (2, "two", "zwei"),
        (16, "sixteen", "sechzehn"),
        (17, "seventeen", "siebzehn"),
        (21, "twenty-one", "einundzwanzig"),
        (30, "thirty", "dreißig"),
        (66, "sixty-six", "sechsundsechzig"),
        (77, "seventy-seven", "siebenundsiebzig"),
        (99, "ninety-nine", "neunundneunzig"),
    ],
)
def test_numbers_are_spelled(n, english, german):
    assert number(n) == (english, german)


def test_vocabulary_is_rich():
    assert len(nouns()) > 150 and len(verbs()) > 80 and len(adjectives()) > 50
