"""Batches of a corpus that is read as it goes, beside those of the same corpus encoded beforehand."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from seq2seq.data import batching, streaming
from seq2seq.data.batching import Batch
from seq2seq.data.corpus import HubCorpus
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.data.pair import Pair
from seq2seq.data.streaming import StreamedBatches, stretches
from seq2seq.errors import UserError
from tests.data.test_datamodule import data_module, epoch, ready, rows_of

PAIRS = 503  # of the training split of `ready`


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STRETCH", 100)


def streamed(folder: Path, **options: Any) -> TranslationDataModule:
    """Return the data of `ready`, with its training pairs streamed."""
    data = ready(folder, **options)
    data.corpus.streaming = True
    return data


def ids_of(batches: list[Batch]) -> list[tuple[int, list[int], list[int]]]:
    return sorted(row for batch in batches for row in rows_of(batch))


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(torch.equal(a.source, b.source) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_same_pairs_as_of_the_encoded_split_each_once(tmp_path: Path, num_workers: int) -> None:
    encoded = ids_of(epoch(ready(tmp_path), 0))
    found = epoch(streamed(tmp_path, num_workers=num_workers), 0)
    assert ids_of(found) == encoded
    assert len(encoded) == PAIRS
    assert all(max(b.source.shape[1], b.target_input.shape[1]) * len(b) <= 211 for b in found)


def test_nothing_of_the_training_split_is_stored(tmp_path: Path) -> None:
    data = data_module(tmp_path)
    data.corpus.streaming = True
    data.prepare_data()
    data.setup()
    assert sum(map(len, epoch(data, 0))) == PAIRS
    (stored,) = (tmp_path / "cache").glob("pairs-*/pairs.arrow")
    assert len(datasets.Dataset.from_file(str(stored))) == 101  # val


def test_an_epoch_is_the_same_again_and_another_is_not(tmp_path: Path) -> None:
    data = streamed(tmp_path)
    assert same(epoch(data, 1), epoch(data, 1))
    assert not same(epoch(data, 1), epoch(data, 2))


def test_pairs_are_shuffled_within_a_stretch_only(tmp_path: Path) -> None:
    batches = epoch(streamed(tmp_path), 0)
    indices = [batch.indices.tolist() for batch in batches]
    assert all(len({min(i // 100, 4) for i in batch}) == 1 for batch in indices)
    first = [i for batch in indices for i in batch][:100]
    assert sorted(first) == list(range(100)) and first != sorted(first)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_pairs_in_equally_many_batches(tmp_path: Path, world_size: int) -> None:
    data = streamed(tmp_path)
    options = dict(vars(data.train_dataloader().dataset)) | {"world_size": world_size}
    shares = [list(StreamedBatches(**options | {"rank": rank})) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(i for share in shares for batch in share for i in batch.indices.tolist()) == list(range(PAIRS))


def test_the_corpus_is_read_no_further_than_needed(tmp_path: Path) -> None:
    data = streamed(tmp_path)
    read = []
    pairs = data.corpus.pairs

    def watched(split: str) -> Iterator[Pair]:
        for pair in pairs(split):
            read.append(pair)
            yield pair

    data.corpus.pairs = watched  # type: ignore[method-assign]
    next(iter(data.train_dataloader()))
    assert len(read) == 200  # a stretch and the one after it


def test_long_pairs_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    everything = ids_of(epoch(streamed(tmp_path), 0))
    data = streamed(tmp_path, max_length=6)
    kept = ids_of(epoch(data, 0))
    assert kept == [row for row in everything if max(len(row[1]), len(row[2])) <= 6]
    assert 0 < len(kept) < PAIRS
    data.setup()
    assert f"train: of the first {PAIRS} pairs of the stream {PAIRS - len(kept)} by length are dropped" in caplog.text


def test_filters_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    data = streamed(tmp_path)
    data.loader = replace(data.loader, max_length=1)
    with pytest.raises(UserError, match=r"leave no train pair, after .* were dropped: raise loader\.max_length"):
        epoch(data, 0)


def test_segmentations_differ_by_epoch_and_say_the_same(tmp_path: Path) -> None:
    data = streamed(tmp_path, sampling=0.3)
    one, other = ids_of(epoch(data, 0)), ids_of(epoch(data, 1))
    assert one != other and one == ids_of(epoch(data, 0))
    decode = data.tokenizers.source.decode
    assert [decode(row[1]) for row in one] == [decode(row[1]) for row in other]


def test_links_come_between_pieces(tmp_path: Path) -> None:
    mapped = {
        int(i): weights for b in epoch(ready(tmp_path, linked=True, with_links=True), 0) for i, weights in linked(b)
    }
    found = [pair for b in epoch(streamed(tmp_path, linked=True, with_links=True), 0) for pair in linked(b)]
    assert len(found) == PAIRS
    for i, weights in found:
        torch.testing.assert_close(weights, mapped[int(i)])


def linked(batch: Batch) -> Iterator[tuple[int, torch.Tensor]]:
    assert batch.link_weights is not None
    sizes = zip(batch.indices, batch.link_weights, batch.target_lengths, batch.source_lengths, strict=True)
    return ((int(i), weights[:target, :source]) for i, weights, target, source in sizes)


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (3, [3]), (10, [10]), (14, [14]), (15, [10, 5]), (25, [10, 10, 5]), (24, [10, 14])]
)
def test_stretches_end_with_no_short_one(count: int, sizes: list[int]) -> None:
    pairs = [(i, Pair("a", "b")) for i in range(count)]
    found = list(stretches(pairs, 10))
    assert [len(stretch) for stretch in found] == sizes
    assert [pair for stretch in found for pair in stretch] == pairs


@pytest.mark.parametrize("streaming_", [False, True])
def test_files_of_a_hub_set_are_read_either_way(tmp_path: Path, streaming_: bool) -> None:
    rows = datasets.Dataset.from_list([{"translation": {"en": f"dog {i}", "de": f"Hund {i}"}} for i in range(30)])
    rows.to_parquet(str(tmp_path / "train.parquet"))
    rows.select([0]).to_parquet(str(tmp_path / "test.parquet"))
    names = {"train": "train", "val": "test", "test": None}
    corpus = HubCorpus(
        path=str(tmp_path), name=None, revision=None, source="en", target="de", streaming=streaming_, **names
    )
    assert [pair.target for pair in corpus.pairs("train")] == [f"Hund {i}" for i in range(30)]
    assert isinstance(corpus._set, datasets.IterableDatasetDict) == streaming_
    assert corpus.fingerprint("train") != corpus.fingerprint("val")


def test_a_large_corpus_is_bucketed_in_random_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The mapped path's own parts: every pair once, neighbours of a batch from all over the corpus."""
    monkeypatch.setattr(batching, "PART", 100)
    batches = epoch(ready(tmp_path), 0)
    assert [row[0] for row in ids_of(batches)] == list(range(PAIRS))
    spread = [b.indices.max() - b.indices.min() for b in batches if len(b) > 5]
    assert min(spread) > 100
    assert same(batches, epoch(ready(tmp_path), 0))


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 9, 14, 23])
def test_stream_goes_on_with_the_next_batch(tmp_path: Path, num_workers: int, count: int) -> None:
    whole = epoch(streamed(tmp_path, num_workers=num_workers), 0)
    data = streamed(tmp_path, num_workers=num_workers)
    for batch in whole[:count]:
        data.took(batch)
    again = streamed(tmp_path, num_workers=num_workers)
    again.load_state_dict(data.state_dict())
    assert same(epoch(again, 0), whole[count:])
    assert same(epoch(again, 1), epoch(streamed(tmp_path, num_workers=num_workers), 1))


def test_only_what_is_left_of_a_stream_is_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = streamed(tmp_path)
    whole = epoch(data, 0)
    place = next(i for i, batch in enumerate(whole) if batch.stretch == 3)
    for batch in whole[: place + 1]:
        data.took(batch)
    encoded: list[int] = []
    examples = StreamedBatches._examples

    def watched(self: Any, pairs: Any, dropped: Any) -> Any:
        encoded.extend(i for i, _ in pairs)
        return examples(self, pairs, dropped)

    monkeypatch.setattr(StreamedBatches, "_examples", watched)
    assert same(epoch(data, 0), whole[place + 1 :])
    assert min(encoded) == 300


def test_stream_that_was_shared_out_otherwise_is_refused(tmp_path: Path) -> None:
    data = streamed(tmp_path, num_workers=2)
    data.took(epoch(data, 0)[0])
    with pytest.raises(UserError, match="loader.num_workers=0: .* go on with loader.num_workers=2"):
        streamed(tmp_path).load_state_dict(data.state_dict())
