"""The paired bootstrap is sacreBLEU's, and answers what a person expects at the extremes."""

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from seq2seq.errors import UserError
from seq2seq.evaluation.significance import paired_bootstrap

REFERENCES = [f"the dog number {i} sees a cat and then sleeps" for i in range(40)]
GOOD = [line.replace("cat", "dog") if i % 9 == 0 else line for i, line in enumerate(REFERENCES)]
BAD = [line.replace("sees a", "has one") if i % 2 else line for i, line in enumerate(REFERENCES)]


def test_results_are_those_of_sacrebleu_called_directly() -> None:
    ours = paired_bootstrap(GOOD, {"bad": BAD, "other": REFERENCES[::-1]}, REFERENCES, tokenize="none", samples=200)
    test = PairedTest(
        [("base", GOOD), ("bad", BAD), ("other", REFERENCES[::-1])],
        {"BLEU": BLEU(tokenize="none", force=True)},
        [REFERENCES],
        test_type="bs",
        n_samples=200,
    )
    signatures, scores = test()
    base, *others = scores["BLEU"]
    for result, theirs in zip(ours.values(), others, strict=True):
        assert result.p == theirs.p_value
        assert result.difference == pytest.approx(theirs.score - base.score)
        assert (result.low + result.high) / 2 == pytest.approx(theirs.mean)
        assert result.signature == str(signatures["BLEU"])
    assert "bs:200" in ours["bad"].signature


def test_clear_difference_is_significant_and_none_is_not() -> None:
    found = paired_bootstrap(GOOD, {"bad": BAD, "same": GOOD}, REFERENCES, tokenize="none", samples=100)
    assert found["bad"].p < 0.05 and found["bad"].difference < 0
    assert found["same"].p == 1 and found["same"].difference == 0


def test_case_counts_unless_it_is_told_not_to() -> None:
    upper = [line.upper() for line in REFERENCES]
    assert paired_bootstrap(REFERENCES, {"upper": upper}, REFERENCES, samples=10)["upper"].difference < -50
    same = paired_bootstrap(REFERENCES, {"upper": upper}, REFERENCES, samples=10, lowercase=True)
    assert same["upper"].difference == 0


def test_hypotheses_must_be_as_many_as_references() -> None:
    with pytest.raises(UserError, match="bad has 39 hypotheses, but there are 40 references"):
        paired_bootstrap(GOOD, {"bad": BAD[1:]}, REFERENCES)
    with pytest.raises(UserError, match="samples=0"):
        paired_bootstrap(GOOD, {"bad": BAD}, REFERENCES, samples=0)
