"""What an `it` of the grammar stands for, against what the grammar meant when it drew the sentence."""

from random import Random

import pytest

from seq2seq.data.antecedents import antecedents
from seq2seq.data.corpus import GrammarCorpus
from seq2seq.data.grammar import render
from seq2seq.data.grammar.phrases import Nominal
from seq2seq.data.grammar.sentences import SentenceDraw
from seq2seq.data.pair import Pair


def found(pair: Pair) -> set[tuple[str, str]]:
    source, target = pair.source.split(), pair.target.split()
    return {(source[i], target[j]) for i, j in antecedents(pair)}


@pytest.mark.parametrize(
    ("target", "links", "expected"),
    [
        ("Das Tier überquerte die Straße nicht , weil es müde war .", "8-8", {("animal", "es")}),
        ("Das Tier überquerte die Straße nicht , weil sie breit war .", "8-8", {("road", "sie")}),
        ("Das Tier überquerte die Straße nicht , weil er breit war .", "8-8", set()),  # nothing is masculine
        ("Das Tier überquerte die Straße nicht , weil es müde war .", "", set()),  # nothing says whose the word is
    ],
)
def test_gender_says_which_noun_is_meant(target: str, links: str, expected: set[tuple[str, str]]) -> None:
    source = "The animal did not cross the road because it was wide ."
    assert found(Pair(source, target, f"0-0 1-1 5-3 6-4 {links}")) == expected


def test_compound_counts_with_both_its_words_and_its_own_gender() -> None:
    pair = Pair("The man sold the apple tree and needed it .", "Der Mann verkaufte den Apfelbaum und brauchte ihn .",
                "0-0 1-1 2-2 3-3 4-4 5-4 6-5 7-6 8-7 9-8")  # fmt: skip
    assert found(pair) == {("apple", "ihn"), ("tree", "ihn")}


def test_they_are_what_the_grammar_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    meant: list[Nominal] = []
    take_up = SentenceDraw.take_up

    def watched(draw: SentenceDraw, antecedent: Nominal, case: str = "nom") -> Nominal:
        meant.append(antecedent)
        return take_up(draw, antecedent, case)

    monkeypatch.setattr(SentenceDraw, "take_up", watched)
    random, pronouns, known = Random(3), 0, 0
    for _ in range(400):
        meant.clear()
        draw = SentenceDraw(random)
        pair = Pair(*render(draw.sentence(), draw.tags))
        its = [each for each in meant if each.pronoun == "it"]
        links = antecedents(pair)
        pronouns += len(its)
        known += len({target for _, target in links})
        words = {pair.source.lower().split()[i] for i, _ in links}
        assert words <= {word for each in its for word in each.lemma.lower().split()}
    assert known > 0.8 * pronouns > 20


def test_corpus_of_the_grammar_knows_them() -> None:
    pair = next(iter(GrammarCorpus(seed=0).pairs("val")))
    assert GrammarCorpus(seed=0).antecedents(pair) == antecedents(pair)
