"""Sampled segmentations: without chance, in the right shares, and the same for a seed in every process."""

import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from seq2seq.data.sampling import Segmenter
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.data.tokenizer_training import train_tokenizer
from tests.data.test_tokenizer import CONFIG, LINES

TEXTS = [*LINES[:5], "", " ", "日本 ﬁne 12½kg z", "漢字 x漢 字y", "a▁b", "…………"]


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return Tokenizer(train_tokenizer(LINES, CONFIG))


@pytest.fixture(scope="module")
def unigram() -> Tokenizer:
    return Tokenizer(train_tokenizer(LINES, replace(CONFIG, model_type="unigram")))


@pytest.mark.parametrize("text", TEXTS)
def test_bpe_that_drops_nothing_is_sentencepieces(bpe: Tokenizer, text: str) -> None:
    assert bpe.encode_sampled(text, alpha=0.0, seed=1) == bpe.encode(text)


@pytest.mark.parametrize("text", TEXTS)
def test_bpe_that_drops_everything_leaves_characters(bpe: Tokenizer, text: str) -> None:
    assert all(len(piece) == 1 or piece == "<unk>" for piece in bpe.pieces(bpe.encode_sampled(text, alpha=1.0, seed=1)))


@pytest.mark.parametrize("text", TEXTS)
def test_unigram_that_hardly_smooths_is_sentencepieces(unigram: Tokenizer, text: str) -> None:
    assert unigram.encode_sampled(text, alpha=1000.0, seed=1) == unigram.encode(text)


@pytest.mark.parametrize("drop", [0.1, 0.5])
def test_bpe_drops_each_merge_with_its_chance(drop: float) -> None:
    """The pairs of `abc` with vocabulary ab, abc: both merges, ab alone, or neither."""
    segmenter = make({"a": -3.0, "b": -4.0, "c": -5.0, "ab": 0.0, "abc": -1.0})
    random = Random(0)
    found = Counter(tuple(segmenter._bpe("abc", drop, random)) for _ in range(20_000))
    expected = {("abc",): (1 - drop) ** 2, ("ab", "c"): (1 - drop) * drop, ("a", "b", "c"): drop}
    assert found.keys() == expected.keys()
    for pieces, share in expected.items():
        assert found[pieces] / 20_000 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 20_000))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_unigram_draws_in_proportion_to_the_powers_of_probabilities(alpha: float) -> None:
    segmenter = make({"a": -1.0, "b": -1.5, "c": -2.0, "ab": -0.5, "bc": -2.5, "abc": -3.0})
    segmenter.is_bpe = False
    scores = {("abc",): -3.0, ("ab", "c"): -2.5, ("a", "bc"): -3.5, ("a", "b", "c"): -4.5}
    total = sum(math.exp(alpha * score) for score in scores.values())
    random = Random(0)
    found = Counter(tuple(segmenter._unigram("abc", alpha, random)) for _ in range(20_000))
    for pieces, score in scores.items():
        share = math.exp(alpha * score) / total
        assert found[pieces] / 20_000 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 20_000))


def make(scores: dict[str, float]) -> Segmenter:
    segmenter = Segmenter(train_tokenizer(LINES, CONFIG))
    segmenter.scores, segmenter._longest = scores, 3
    return segmenter


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_seed_means_the_same_in_every_process(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    (tmp_path / "model").write_bytes(tokenizer.model_proto)
    code = (
        "import sys, pathlib; from seq2seq.data.tokenizer import Tokenizer\n"
        "tokenizer = Tokenizer(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print([tokenizer.encode_sampled(sys.argv[2], alpha=0.2, seed=seed) for seed in range(20)])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model"), LINES[3]], capture_output=True, text=True, check=True
    )
    here = [tokenizer.encode_sampled(LINES[3], alpha=0.2, seed=seed) for seed in range(20)]
    assert said.stdout.strip() == str(here) and len({tuple(ids) for ids in here}) > 10
