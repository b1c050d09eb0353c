"""Tests of the embedded grammar: its sentences, its word links, and what separates its splits."""

import hashlib
import os
import re
import subprocess
import sys
from functools import cache

from seq2seq.data.grammar import LONGEST, PHENOMENA, SHORTEST_LONG, SPLITS, Sentence, generate, held_out
from seq2seq.data.grammar.compounds import compounds
from seq2seq.data.grammar.inflection import german_noun, number
from seq2seq.data.grammar.modifiers import adjectives
from seq2seq.data.grammar.nouns import nouns
from seq2seq.data.grammar.verbs import verbs


@cache
def sentences(split: str) -> list[Sentence]:
    return generate(split)


def test_same_seed_gives_same_sentences_under_any_hash_seed() -> None:
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


def test_another_seed_gives_other_sentences_of_the_same_split_only() -> None:
    other = {sentence.source for sentence in generate("test", seed=5)}
    assert len(other & {sentence.source for sentence in sentences("test")}) < 50
    assert not other & {sentence.source for sentence in sentences("train")}


def test_splits_have_their_sizes_and_share_no_source() -> None:
    assert {split: len(sentences(split)) for split in SPLITS} == SPLITS
    sources = [sentence.source for split in SPLITS for sentence in sentences(split)]
    assert len(set(sources)) == sum(SPLITS.values())


def test_every_link_joins_two_words_and_every_word_of_both_sides_is_linked() -> None:
    for split in SPLITS:
        for source, target, links, _ in sentences(split):
            pairs = [re.split("[-p]", link) for link in links.split()]
            assert {int(i) for i, _ in pairs} == set(range(len(source.split()))), source
            assert {int(j) for _, j in pairs} == set(range(len(target.split()))), target


def test_every_target_word_but_a_comma_has_a_sure_link() -> None:
    for source, target, links, _ in sentences("test"):
        sure = {int(link.split("-")[1]) for link in links.split() if "-" in link}
        unsure = [word for j, word in enumerate(target.split()) if j not in sure]
        assert set(unsure) <= {","}, source


def test_texts_are_words_and_punctuation_between_single_spaces() -> None:
    for split in SPLITS:
        for source, target, _, _ in sentences(split):
            for text in (source, target):
                assert re.fullmatch(r"[A-ZÄÖÜ][\w-]*( [\w-]+| ,)* [.!]", text), text
                assert ", ," not in text and ", ." not in text, text


ARTICLES = {"m": {"der", "den", "dem"}, "f": {"die", "der"}, "n": {"das", "dem"}}


def test_articles_agree_with_every_german_noun_after_them() -> None:
    allowed: dict[str, set[str]] = {}
    for noun in [*nouns().values(), *(compound for heads in compounds().values() for compound in heads)]:
        allowed.setdefault(german_noun(noun, noun.gender, "nom"), set()).update(ARTICLES[noun.gender])
        allowed.setdefault(german_noun(noun, noun.gender, "acc"), set()).update(ARTICLES[noun.gender] - {"der"})
        allowed.setdefault(german_noun(noun, "p", "nom"), set()).add("die")
        allowed.setdefault(german_noun(noun, "p", "dat"), set()).add("den")
    articles = [
        (article.lower(), noun, target)
        for _, target, _, _ in sentences("train")
        for article, noun in re.findall(r"(?<!, )\b([Dd](?:er|ie|as|en|em)) ([A-ZÄÖÜ]\w+)", target)
        if noun in allowed
    ]
    assert len(articles) > 10_000
    for article, noun, target in articles:
        assert article in allowed[noun], target


def test_pronoun_has_the_gender_of_its_german_antecedent() -> None:
    genders = {noun.german: noun.gender for noun in nouns().values() if noun.lemma != "child"}
    checked = 0
    for source, target, _, _ in sentences("train"):
        if re.search(r"^(The|A|My) \w+ [^,]* because it was (tired|ill|hungry|sad) \.$", source):
            subject = next((word for word in target.split()[1:3] if word in genders), None)
            (pronoun,) = re.findall(r", weil (\w+) ", target)
            if subject:
                checked += 1
                assert pronoun == {"m": "er", "f": "sie", "n": "es"}[genders[subject]], target
    assert checked > 30


def test_no_source_has_two_translations_even_across_seeds() -> None:
    translations: dict[str, str] = {}
    for seed in (0, 1):
        for split in ("val", "test", "test_long", "test_unseen"):
            for sentence in generate(split, seed=seed):
                assert translations.setdefault(sentence.source, sentence.target) == sentence.target


def test_long_sentences_are_longer_than_all_others() -> None:
    lengths = {split: [len(sentence.source.split()) for sentence in sentences(split)] for split in SPLITS}
    assert min(lengths["test_long"]) >= SHORTEST_LONG
    assert max(max(lengths[split]) for split in SPLITS if split != "test_long") <= LONGEST < SHORTEST_LONG
    assert 8 <= sum(lengths["train"]) / SPLITS["train"] <= 11


def test_every_word_and_phenomenon_of_test_unseen_occurs_in_train() -> None:
    for column in ("source", "target", "tags"):
        seen = {word for sentence in sentences("train") for word in getattr(sentence, column).split()}
        assert {word for sentence in sentences("test_unseen") for word in getattr(sentence, column).split()} <= seen


def test_a_word_and_phenomenon_held_out_meet_in_test_unseen_alone() -> None:
    people = ("king", "sailor", "lady", "grandmother", "knight", "witch", "monk", "princess")
    assert {held_out(noun, "pronoun") for noun in people} == {True, False}
    found = {
        split: {
            match[1]
            for sentence in sentences(split)
            if (match := re.match(rf"The ({'|'.join(people)}) [^,]* because s?he ", sentence.source))
        }
        for split in ("train", "val", "test", "test_unseen")
    }
    assert any(held_out(noun, "pronoun") for noun in found.pop("test_unseen"))
    assert not any(held_out(noun, "pronoun") for split in found.values() for noun in split)
    assert found["train"]


def test_every_phenomenon_tags_many_sentences_of_train_and_nothing_else_does() -> None:
    counts = dict.fromkeys(PHENOMENA, 0)
    for sentence in sentences("train"):
        for tag in sentence.tags.split():
            counts[tag] += 1
    assert min(counts.values()) > 400, counts


def test_numbers_are_spelled() -> None:
    assert number(2) == ("two", "zwei")
    assert number(16) == ("sixteen", "sechzehn")
    assert number(17) == ("seventeen", "siebzehn")
    assert number(21) == ("twenty-one", "einundzwanzig")
    assert number(30) == ("thirty", "dreißig")
    assert number(66) == ("sixty-six", "sechsundsechzig")
    assert number(77) == ("seventy-seven", "siebenundsiebzig")


def test_vocabulary_is_rich() -> None:
    assert len(nouns()) > 150 and len(verbs()) > 80 and len(adjectives()) > 50
