"""Noise on words, and training text that is read anew in every epoch."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from seq2seq.data.noise import Noise, mistyped
from seq2seq.data.tokenizer import UNK
from seq2seq.errors import UserError
from tests.data.test_datamodule import data_module, epoch, ready, rows_of
from tests.data.test_streaming import streamed

TEXT = "one two three four five six seven eight nine ten"


def parts(**shares: float) -> list[list[str | None]]:
    return [Noise(**shares).parts(TEXT, Random(seed)) for seed in range(200)]


def said(of: list[str | None]) -> list[str]:
    return [word for part in of for word in (["<unk>"] if part is None else part.split())]


def test_no_noise_is_the_text_as_it_was() -> None:
    assert Noise().parts("  a \t b ", Random(1)) == ["  a \t b "] and not Noise()


def test_shares_are_those_of_the_words() -> None:
    lengths = [len(said(found)) for found in parts(drop=0.3)]
    assert 0.66 < sum(lengths) / 2000 < 0.74
    masked = Counter(word for found in parts(mask=0.3) for word in said(found))["<unk>"]
    assert 0.26 < masked / 2000 < 0.34
    right = sum(word in TEXT.split() for found in parts(typo=0.3) for word in said(found))
    assert 0.66 < right / 2000 < 0.74


def test_swapped_words_stay_near_and_none_is_lost() -> None:
    found = [said(each) for each in parts(swap=0.3)]
    assert all(sorted(each) == sorted(TEXT.split()) for each in found)
    assert sum(each != TEXT.split() for each in found) > 150


def test_one_word_always_stays() -> None:
    assert all(said(Noise(drop=0.9).parts("a b", Random(seed))) for seed in range(50))


def test_mistyped_word_has_one_letter_wrong() -> None:
    found = {mistyped("abc", Random(seed)) for seed in range(60)}
    assert found == {"bc", "ac", "aabc", "abbc", "bac", "acb"} and mistyped("a", Random(1)) == "a"


@pytest.mark.parametrize("share", [-0.1, 0.95, True, "x"])
def test_share_out_of_range_names_itself(share: float) -> None:
    with pytest.raises(UserError, match=rf"noise\.typo={share} must be a share"):
        Noise(typo=share)


NOISE = Noise(drop=0.1, swap=0.1, mask=0.1, typo=0.1)


def test_noise_is_on_sources_of_training_alone_and_follows_seed_and_epoch(tmp_path: Path) -> None:
    plain, data = ready(tmp_path), ready(tmp_path, noise=NOISE)
    first, second, again = (sorted(row for batch in epoch(data, n) for row in rows_of(batch)) for n in (0, 1, 0))
    before = sorted(row for batch in epoch(plain, 0) for row in rows_of(batch))
    assert first == again and sum(a != b for a, b in zip(first, second, strict=True)) > 100
    assert [target for _, _, target in first] == [target for _, _, target in before]
    assert any(UNK in source for _, source, _ in first)
    val = [sorted(row for batch in each.val_dataloader() for row in rows_of(batch)) for each in (plain, data)]
    assert val[0] == val[1]


def test_noise_of_a_stream_is_that_of_stored_pairs(tmp_path: Path) -> None:
    stored, stream = ready(tmp_path, noise=NOISE), streamed(tmp_path, noise=NOISE)
    assert sorted(r for b in epoch(stored, 1) for r in rows_of(b)) == sorted(
        r for b in epoch(stream, 1) for r in rows_of(b)
    )


def test_noise_and_guided_alignment_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which noise changes: set that to 0"):
        data_module(tmp_path, linked=True, with_links=True, noise=NOISE)
