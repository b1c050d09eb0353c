"""Scores of translations: sacreBLEU's own numbers, hand-computed ones, and the faults of the input."""

from pathlib import Path

import pytest
import sacrebleu

from seq2seq.errors import UserError
from seq2seq.evaluation.metrics import bleu_by_length, exact_match_by_tag, score_translations

HYPOTHESES = ["The dog runs through the big garden .", "a man sees the child", "the door is open"]
REFERENCES = ["The dog runs through the garden .", "the man sees the child", "the door is closed"]


def test_bleu_equals_the_hand_computed() -> None:
    # One hypothesis of 5 words, 1 of them wrong at the end: precisions 4/5, 3/4, 2/3, 1/2, no brevity penalty.
    scores = score_translations(["a b c d x"], ["a b c d e"], tokenize="none")
    assert scores.bleu == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert scores.ter == pytest.approx(100 * 1 / 5)


def test_scores_equal_sacrebleus_own_functions() -> None:
    scores = score_translations(HYPOTHESES, REFERENCES)
    assert scores.bleu == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score)
    assert scores.chrf == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score)
    assert scores.ter == pytest.approx(sacrebleu.corpus_ter(HYPOTHESES, [REFERENCES]).score)


def test_equal_lines_score_100_and_no_edits() -> None:
    scores = score_translations(REFERENCES, REFERENCES)
    assert scores.bleu == pytest.approx(100)
    assert scores.chrf == pytest.approx(100)
    assert scores.ter == 0


def test_empty_hypotheses_score_zero() -> None:
    scores = score_translations(["", "", ""], REFERENCES)
    assert (scores.bleu, scores.chrf, scores.ter) == (0, 0, 100)


def test_signatures_say_how_the_scores_were_computed() -> None:
    signatures = score_translations(HYPOTHESES, REFERENCES).signatures
    version = f"version:{sacrebleu.__version__}"
    assert signatures["bleu"] == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{version}"
    assert signatures["chrf"].endswith(f"nc:6|nw:0|space:no|{version}")
    assert "tok:tercom" in signatures["ter"]
    lowercase = score_translations(HYPOTHESES, REFERENCES, tokenize="none", lowercase=True).signatures
    assert all("case:lc" in signature for signature in lowercase.values())
    assert "tok:none" in lowercase["bleu"]


def test_lowercase_forgives_case_in_every_score() -> None:
    shouted = [reference.upper() for reference in REFERENCES]
    assert score_translations(shouted, REFERENCES).bleu < 10
    assert score_translations(shouted, REFERENCES).ter > 50
    scores = score_translations(shouted, REFERENCES, lowercase=True)
    assert (scores.bleu, scores.chrf, scores.ter) == pytest.approx((100, 100, 0))


def test_tokenize_none_leaves_the_words_as_they_stand() -> None:
    hypothesis, reference = ["one two three four five."], ["one two three four five ."]
    assert score_translations(hypothesis, reference).bleu == pytest.approx(100)
    assert score_translations(hypothesis, reference, tokenize="none").bleu < 100


def test_tokenised_text_is_scored_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    score_translations(["the end ."] * 101, ["the end ."] * 101)
    assert not caplog.records


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(UserError, match="no hypotheses"):
        score_translations([], [])


def test_unequal_numbers_of_lines_are_named() -> None:
    with pytest.raises(UserError, match="2 hypotheses, but 3 references"):
        score_translations(HYPOTHESES[:2], REFERENCES)


def test_unknown_tokeniser_is_named_with_those_that_exist() -> None:
    with pytest.raises(UserError, match="tokenize=moses .*13a"):
        score_translations(HYPOTHESES, REFERENCES, tokenize="moses")


def test_bleu_by_length_scores_each_range_apart() -> None:
    sources = ["w " * length for length in (1, 3, 4, 7, 8, 30)]
    references = [f"one two three four {i}" for i in range(6)]
    hypotheses = [*references[:2], "nothing", "at all", references[4], references[5]]
    scores = bleu_by_length(sources, hypotheses, references, (3, 7))
    assert list(scores) == ["1-3", "4-7", "8+"]
    assert scores["1-3"] == scores["8+"] == pytest.approx(100)
    assert scores["4-7"] < 5


def test_bleu_by_length_equals_bleu_where_there_is_one_range() -> None:
    scores = bleu_by_length(["a b"] * 3, HYPOTHESES, REFERENCES, (5,), lowercase=True)
    assert scores == {"1-5": score_translations(HYPOTHESES, REFERENCES, lowercase=True).bleu}


def test_exact_match_is_a_share_of_the_sentences_with_the_tag() -> None:
    shares = exact_match_by_tag(
        ["a b", "a  c ", "a d", "x"], ["a b", "a c", "a e", "x"], ["negation number", "number", "number", ""]
    )
    assert shares == {"negation": 1.0, "number": pytest.approx(2 / 3)}
    assert list(shares) == ["negation", "number"]


MULTI30K = Path(__file__).parents[3] / "shared/data/multi30k/test_2016_flickr.de"


@pytest.mark.skipif(not MULTI30K.exists(), reason="../shared/data/multi30k is absent")
def test_real_references_score_100_against_themselves() -> None:
    lines = MULTI30K.read_text("utf-8").splitlines()
    scores = score_translations(lines, lines)
    assert (scores.bleu, scores.chrf, scores.ter) == pytest.approx((100, 100, 0))
