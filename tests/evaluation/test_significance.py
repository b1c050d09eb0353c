"""The paired bootstrap of BLEU is sacreBLEU's; that of alignment error is of its kind."""

import random
from typing import Any

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from seq2seq.alignment.links import AlignmentScore
from seq2seq.errors import UserError
from seq2seq.evaluation.link_counts import LinkCounts
from seq2seq.evaluation.significance import paired_bootstrap_aer, paired_bootstrap_bleu

REFERENCES = [f"the dog number {i} sees a cat and then sleeps" for i in range(40)]
GOOD = [line.replace("cat", "dog") if i % 9 == 0 else line for i, line in enumerate(REFERENCES)]
BAD = [line.replace("sees a", "has one") if i % 2 else line for i, line in enumerate(REFERENCES)]


def test_results_are_those_of_sacrebleu_called_directly() -> None:
    ours, signature = paired_bootstrap_bleu(
        GOOD, {"bad": BAD, "other": REFERENCES[::-1]}, REFERENCES, tokenize="none", samples=200
    )
    test = PairedTest(
        [("base", GOOD), ("bad", BAD), ("other", REFERENCES[::-1])],
        {"BLEU": BLEU(tokenize="none", force=True)},
        [REFERENCES],
        test_type="bs",
        n_samples=200,
    )
    signatures, scores = test()
    results: list[Any] = list(scores["BLEU"])
    base, *others = results
    for result, theirs in zip(ours.values(), others, strict=True):
        assert result.p == theirs.p_value
        assert result.difference == pytest.approx(theirs.score - base.score)
    assert signature == str(signatures["BLEU"]) and "bs:200" in signature


def test_clear_difference_is_significant_and_none_is_not() -> None:
    found, _ = paired_bootstrap_bleu(GOOD, {"bad": BAD, "same": GOOD}, REFERENCES, tokenize="none", samples=100)
    assert found["bad"].p < 0.05 and found["bad"].difference < 0
    assert found["same"].p == 1 and found["same"].difference == 0


def test_case_counts_unless_it_is_told_not_to() -> None:
    upper = [line.upper() for line in REFERENCES]
    assert paired_bootstrap_bleu(REFERENCES, {"upper": upper}, REFERENCES, samples=10)[0]["upper"].difference < -50
    same, _ = paired_bootstrap_bleu(REFERENCES, {"upper": upper}, REFERENCES, samples=10, lowercase=True)
    assert same["upper"].difference == 0 and same["upper"].p == 1


def test_systems_without_a_match_do_not_differ() -> None:
    """All of whose samples have a BLEU of 0, as those of untrained models."""
    found, _ = paired_bootstrap_bleu(["x"] * 40, {"other": ["y z"] * 40}, REFERENCES, samples=100)
    assert found["other"] == (0.0, 1.0)


def test_one_sentence_says_nothing_of_others() -> None:
    found, _ = paired_bootstrap_bleu(REFERENCES[:1], {"bad": GOOD[:1]}, REFERENCES[:1], samples=100)
    assert found["bad"].difference != 0 and found["bad"].p == 1
    other = paired_bootstrap_aer(_counts(0, n=1), {"bad": _counts(1, n=1)}, samples=100)["bad"]
    assert other.difference > 0 and other.p == 1


def test_hypotheses_must_be_as_many_as_references() -> None:
    with pytest.raises(UserError, match="bad has 39 hypotheses, but there are 40 references"):
        paired_bootstrap_bleu(GOOD, {"bad": BAD[1:]}, REFERENCES)
    with pytest.raises(UserError, match="samples=0"):
        paired_bootstrap_bleu(GOOD, {"bad": BAD}, REFERENCES, samples=0)


def _counts(wrong: int, n: int = 60) -> list[LinkCounts]:
    """Sentences of different lengths, the first few with one link wrong."""
    return [LinkCounts(5 + i % 7, 5 + i % 7, 5 + i % 7 - (i < wrong), 5 + i % 7 - (i < wrong)) for i in range(n)]


def test_difference_is_that_of_the_whole_sets_alignment_error_rates() -> None:
    def rate(counts: list[LinkCounts]) -> float:
        return AlignmentScore.of(**LinkCounts(*map(sum, zip(*counts, strict=True)))._asdict()).aer

    found = paired_bootstrap_aer(_counts(3), {"worse": _counts(30)}, samples=100)["worse"]
    assert found.difference == pytest.approx(rate(_counts(30)) - rate(_counts(3))) and found.difference > 0


def test_alignments_that_differ_in_many_sentences_differ_and_in_one_do_not() -> None:
    found = paired_bootstrap_aer(_counts(3), {"many": _counts(30), "one": _counts(4), "none": _counts(3)}, samples=500)
    assert found["many"].p == pytest.approx(1 / 501)
    assert found["one"].p > 0.2
    assert found["none"] == (0.0, 1.0)


def test_draw_without_any_link_has_no_error() -> None:
    """Of two sentences a quarter of the draws is the second twice, in which the baseline links nothing, and rightly."""
    right, nothing, wrong = LinkCounts(1, 1, 1, 1), LinkCounts(0, 0, 0, 0), LinkCounts(0, 1, 0, 0)
    found = paired_bootstrap_aer([right, nothing], {"other": [right, wrong]}, samples=1000)["other"]
    assert found.difference == pytest.approx(1 / 3) and found.p == pytest.approx(0.5, abs=0.05)


def test_systems_that_err_alike_but_elsewhere_are_seldom_told_apart() -> None:
    """Under no difference p is uniform: of 40 tests about 2 are below 0.05."""
    draw = random.Random(1)

    def noisy() -> list[LinkCounts]:
        return [LinkCounts(8, 8, hits, hits) for hits in (8 - (draw.random() < 0.3) for _ in range(100))]

    ps = [paired_bootstrap_aer(noisy(), {"x": noisy()}, samples=200)["x"].p for _ in range(40)]
    assert sum(p < 0.05 for p in ps) <= 6 and sum(p < 0.5 for p in ps) >= 10
