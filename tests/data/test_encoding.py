from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest

from seq2seq.data.corpus import TextCorpus
from seq2seq.data.encoding import EncodedSplit, encoded_split, trained_tokenizers
from seq2seq.data.noise import Noise
from seq2seq.data.tokenizer import TokenizerConfig, Tokenizers
from seq2seq.data.variation import Variation, varied_ids
from seq2seq.errors import UserError

CONFIG = TokenizerConfig(
    model_type="bpe",
    vocab_size=29,
    joint=True,
    sampling=0.0,
    normalization="nfc",
    character_coverage=1.0,
    input_sentence_size=1000,
)
SOURCES = ["the dog sees the red car", "", "the dog", "a dog " * 13, "the red car", "the", "dog\u2028car"]
TARGETS = ["der Hund", "der Hund", "der Hund", "ein Hund", "das rote Auto", "der Hund der Hund", "Hund"]


@pytest.fixture
def corpus(tmp_path: Path) -> TextCorpus:
    for name, lines in (("en", SOURCES), ("de", TARGETS)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    files = {"source": str(tmp_path / "en"), "target": str(tmp_path / "de")}
    return TextCorpus(train=files, val=files, test={})


@pytest.fixture
def tokenizers(corpus: TextCorpus, tmp_path: Path) -> Tokenizers:
    return trained_tokenizers(corpus, CONFIG, tmp_path / "cache")


def encode(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path, **options: Any) -> EncodedSplit:
    filters: dict[str, Any] = {"max_length": 1000, "max_ratio": 1000.0, **options}
    return encoded_split(corpus, "train", tokenizers, cache_dir=tmp_path / "cache", **filters)


def folders(tmp_path: Path, kind: str) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache").glob(f"{kind}-*") if path.is_dir())


def test_joint_tokenizer_is_one_object(tokenizers: Tokenizers) -> None:
    assert tokenizers.source is tokenizers.target
    assert 0 not in tokenizers.source.encode("the red car Auto")


def test_tokenizer_a_side_knows_its_own_characters(corpus: TextCorpus, tmp_path: Path) -> None:
    source, target = trained_tokenizers(corpus, replace(CONFIG, joint=False, vocab_size=23), tmp_path / "cache")
    assert 0 not in source.encode("the dog sees") + target.encode("Auto Hund")
    assert 0 in source.encode("Auto")
    assert 0 in target.encode("car")


def test_tokenizer_is_trained_once_for_the_same_text_and_settings(corpus: TextCorpus, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = trained_tokenizers(corpus, CONFIG, cache)
    assert (
        trained_tokenizers(corpus, replace(CONFIG, sampling=0.1), cache).source.model_proto == first.source.model_proto
    )
    assert len(folders(tmp_path, "tokenizer")) == 1
    trained_tokenizers(corpus, replace(CONFIG, vocab_size=30), cache)
    assert len(folders(tmp_path, "tokenizer")) == 2
    with (tmp_path / "en").open("a") as source, (tmp_path / "de").open("a") as target:
        source.write("dog\n")
        target.write("Hund\n")
    files = {"source": str(tmp_path / "en"), "target": str(tmp_path / "de")}
    trained_tokenizers(TextCorpus(train=files, val=files, test={}), CONFIG, cache)
    assert len(folders(tmp_path, "tokenizer")) == 3


def test_rows_hold_the_text_and_its_ids(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path) -> None:
    rows = encode(corpus, tokenizers, tmp_path, max_ratio=None).dataset
    assert rows.column_names == ["source", "target", "links", "tags", "corpus", "tag", "source_ids", "target_ids"]
    assert (rows["source"][:], rows["target"][:]) == (SOURCES, TARGETS)
    assert rows["source_ids"][:] == [tokenizers.source.encode(text) for text in SOURCES]
    assert rows["target_ids"][:] == [tokenizers.target.encode(text) for text in TARGETS]


def test_rows_are_mapped_from_the_cache(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path) -> None:
    rows = encode(corpus, tokenizers, tmp_path).dataset
    assert [Path(entry["filename"]).parent for entry in rows.cache_files] == folders(tmp_path, "pairs")


def test_empty_and_long_training_pairs_are_dropped(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path) -> None:
    longest = len(tokenizers.source.encode(SOURCES[3]))
    encoded = encode(corpus, tokenizers, tmp_path, max_length=longest)
    assert encoded.dropped == {"empty": 1, "length": 0, "ratio": 0}
    encoded = encode(corpus, tokenizers, tmp_path, max_length=longest - 1)
    assert encoded.dropped == {"empty": 1, "length": 1, "ratio": 0}
    assert encoded.dataset["source"][:] == [SOURCES[i] for i in (0, 2, 4, 5, 6)]


def test_training_pairs_of_unlike_length_are_dropped(
    corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path
) -> None:
    ratio = len(tokenizers.target.encode("der Hund der Hund")) / len(tokenizers.source.encode("the"))
    kept, dropped = (encode(corpus, tokenizers, tmp_path, max_ratio=r) for r in (ratio, ratio - 0.01))
    assert "the" in kept.dataset["source"]
    assert "the" not in dropped.dataset["source"]
    assert dropped.dropped["ratio"] == kept.dropped["ratio"] + 1


def test_without_a_ratio_every_pair_is_kept_and_cut(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path) -> None:
    longest = len(tokenizers.source.encode(SOURCES[3])) - 1
    encoded = encode(corpus, tokenizers, tmp_path, max_length=longest, max_ratio=None)
    assert len(encoded.dataset) == len(SOURCES)
    assert encoded.cut == [4]
    assert encoded.dataset[3]["source_ids"] == tokenizers.source.encode(SOURCES[3])[:-1]
    assert encoded.dataset[3]["source"] == SOURCES[3]


def test_counts_come_back_from_the_cache(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path) -> None:
    first, again = (encode(corpus, tokenizers, tmp_path, max_length=20) for _ in range(2))
    assert (first.dropped, first.cut) == (again.dropped, again.cut)
    assert len(folders(tmp_path, "pairs")) == 1


def test_ids_of_other_tokenizers_are_not_taken_from_the_cache(
    corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path
) -> None:
    others = trained_tokenizers(corpus, replace(CONFIG, vocab_size=41), tmp_path / "cache")
    first, second = (encode(corpus, each, tmp_path).dataset for each in (tokenizers, others))
    assert second["source_ids"][0] == others.source.encode(SOURCES[0]) != first["source_ids"][0]


def test_filters_that_leave_nothing_are_refused(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leave no train pair, after .* were dropped: .*raise loader\.max_length"):
        encode(corpus, tokenizers, tmp_path, max_length=0)
    (tmp_path / "blank").write_text("\n \n")
    (tmp_path / "two").write_text("a\nb\n")
    files = {"source": str(tmp_path / "blank"), "target": str(tmp_path / "two")}
    blank = TextCorpus(train=files, val=None, test=None)
    with pytest.raises(UserError, match=r"after 2 by empty were dropped: give pairs with words on both sides$"):
        encode(blank, tokenizers, tmp_path)
    assert folders(tmp_path, "pairs") == []


def sampled(rows: datasets.Dataset, tokenizers: Tokenizers, path: Path, **options: Any) -> list[list[int]]:
    epoch = int(options.pop("epoch", 0))
    given: dict[str, Any] = {"sampling": 0.5, "noise": Noise(), "max_length": 1000, "seed": 1, **options}
    variation = Variation(**given)
    return varied_ids(rows, tokenizers, variation, epoch=epoch, path=path)["source_ids"][:]


def test_sampled_ids_follow_seed_and_epoch(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path) -> None:
    rows = encode(corpus, tokenizers, tmp_path, max_ratio=None).dataset
    first = sampled(rows, tokenizers, tmp_path / "0")
    assert first == sampled(rows, tokenizers, tmp_path / "1")
    assert first != sampled(rows, tokenizers, tmp_path / "2", epoch=1)
    assert first != sampled(rows, tokenizers, tmp_path / "3", seed=2)
    assert [tokenizers.source.decode(ids) for ids in first] == [text.strip() for text in SOURCES]


def test_sampled_ids_never_exceed_the_maximum(corpus: TextCorpus, tokenizers: Tokenizers, tmp_path: Path) -> None:
    rows = encode(corpus, tokenizers, tmp_path, max_ratio=None).dataset
    longest = max(map(len, rows["source_ids"]))
    assert max(map(len, sampled(rows, tokenizers, tmp_path / "0"))) > longest
    assert max(map(len, sampled(rows, tokenizers, tmp_path / "1", max_length=longest))) == longest
