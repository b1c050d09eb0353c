import errno
import logging
import os
import re
import subprocess
import tempfile
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seq2seq.data import variation
from seq2seq.data.batching import Batch
from seq2seq.data.corpus import Multi30kCorpus, TextCorpus
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.data.loader import LoaderConfig
from seq2seq.data.tokenizer import BOS, EOS, TokenizerConfig
from seq2seq.errors import UserError

MULTI30K = Path(__file__).parents[3] / "shared" / "data" / "multi30k"


def text(count: int, word: str) -> str:
    return "".join(f"{'the ' * (i % 7)}{word} {i * 37 % 1009}\n" for i in range(count))


def trainer(**values: Any) -> Any:
    """Return what stands for Lightning's trainer."""
    return SimpleNamespace(**values)


def data_module(folder: Path, *, sampling: float = 0.0, linked: bool = False, **options: Any) -> TranslationDataModule:
    splits: dict[str, Any] = {}
    for split, count in (("train", 503), ("val", 101), ("test", 53)):
        for side, word in (("source", "dog"), ("target", "Hund")):
            (folder / f"{split}.{side}").write_text(text(count, word))
        (folder / f"{split}.links").write_text(
            "".join(f"{i % 7}-{i % 7} {i % 7 + 1}p{i % 7 + 1}\n" for i in range(count))
        )
        splits[split] = {side: str(folder / f"{split}.{side}") for side in ("source", "target")}
        if linked:
            splits[split]["links"] = str(folder / f"{split}.links")
    config = TokenizerConfig(
        model_type="bpe",
        vocab_size=61,
        joint=True,
        sampling=sampling,
        normalization="nfc",
        character_coverage=1.0,
        input_sentence_size=1000,
    )
    settings: dict[str, Any] = {
        "tokens_per_batch": 211,
        "eval_tokens_per_batch": 307,
        "max_length": 50,
        "max_ratio": 4.0,
        "cache_dir": str(folder / "cache"),
    }
    settings |= {name: options.pop(name) for name in {*options} & {field.name for field in fields(LoaderConfig)}}
    loader = LoaderConfig(**settings)
    return TranslationDataModule(corpus=TextCorpus(**splits), tokenizer=config, loader=loader, seed=3, **options)


def ready(folder: Path, **options: Any) -> TranslationDataModule:
    data = data_module(folder, **options)
    data.prepare_data()
    data.setup()
    return data


def epoch(data: TranslationDataModule, number: int) -> list[Batch]:
    data.trainer = trainer(current_epoch=number, global_rank=0, world_size=1)
    return list(data.train_dataloader())


def rows_of(batch: Batch) -> list[tuple[int, list[int], list[int]]]:
    """Index, source ids and target ids of the pairs of a batch, without BOS, EOS and padding."""
    targets = batch.target_output.split(batch.target_lengths.tolist())
    return [
        (index, source[: length - 1].tolist(), target[:-1].tolist())
        for index, source, length, target in zip(
            batch.indices.tolist(), batch.source, batch.source_lengths.tolist(), targets, strict=True
        )
    ]


def test_training_batches_hold_every_pair_once(tmp_path: Path) -> None:
    data = ready(tmp_path)
    found = sorted(row for batch in data.train_dataloader() for row in rows_of(batch))
    rows = data.dataset("train")
    assert found == [(i, row["source_ids"], row["target_ids"]) for i, row in enumerate(rows)]
    assert len(found) == 503


def test_batches_stay_within_their_budget(tmp_path: Path) -> None:
    data = ready(tmp_path)
    for loader, budget in ((data.train_dataloader(), 211), (data.val_dataloader(), 307)):
        sizes = [len(batch) * max(batch.source.shape[1], batch.target_input.shape[1]) for batch in loader]
        assert 0.7 * budget < max(sizes) <= budget


def test_every_epoch_has_batches_of_its_own_and_the_same_again(tmp_path: Path) -> None:
    data = ready(tmp_path)
    first, second, again = ([batch.indices.tolist() for batch in epoch(data, number)] for number in (0, 1, 0))
    assert first == again
    assert first != second


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_gives_every_line_its_index(tmp_path: Path, split: str) -> None:
    data = ready(tmp_path)
    loader = data.val_dataloader() if split == "val" else data.test_dataloader("test")
    decoded = {index: data.tokenizers.source.decode(source) for batch in loader for index, source, _ in rows_of(batch)}
    lines = (tmp_path / f"{split}.source").read_text().splitlines()
    assert [decoded[i] for i in range(len(lines))] == lines


def test_sampling_cuts_training_text_anew_each_epoch_and_evaluation_never(tmp_path: Path) -> None:
    data = ready(tmp_path, sampling=0.5)
    first, second, again = (sorted(row for batch in epoch(data, n) for row in rows_of(batch)) for n in (0, 1, 0))
    assert first == again
    assert sum(a != b for a, b in zip(first, second, strict=True)) > 400
    texts = [data.tokenizers.source.decode(source) for _, source, _ in first]
    assert texts == (tmp_path / "train.source").read_text().splitlines()
    assert all(len(batch) * batch.source.shape[1] <= 211 for batch in epoch(data, 2))
    held = {row for batch in data.val_dataloader() for row in map(str, rows_of(batch))}
    assert held == {str((i, row["source_ids"], row["target_ids"])) for i, row in enumerate(data.dataset("val"))}


def test_worker_processes_give_the_same_batches(tmp_path: Path) -> None:
    alone, workers = (list(ready(tmp_path, num_workers=n).train_dataloader()) for n in (0, 2))
    assert [rows_of(batch) for batch in workers] == [rows_of(batch) for batch in alone]


def test_ranks_share_an_epoch(tmp_path: Path) -> None:
    data = ready(tmp_path)
    indices = []
    for rank in range(3):
        data.trainer = trainer(current_epoch=1, global_rank=rank, world_size=3)
        indices += [index for batch in data.train_dataloader() for index in batch.indices.tolist()]
    assert sorted(indices) == list(range(503))


def test_dropped_training_pairs_are_counted_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="seq2seq"):
        data = ready(tmp_path, max_length=7)
    assert data.dropped["length"] == 503 - len(data.dataset("train")) > 0
    assert f"train: {len(data.dataset('train'))} pairs, after {data.dropped['length']} by length were" in caplog.text
    assert len(data.dataset("val")) == 101


def test_cut_evaluation_lines_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = ready(tmp_path, max_length=7)
    data.dataset("val")
    message = next(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert message.startswith("val: cut to 7 pieces (loader.max_length): line ")
    first = int(message.split("line ")[1].split(",")[0]) - 1
    lines = (tmp_path / "val.source").read_text().splitlines()
    assert first == min(i for i, line in enumerate(lines) if len(data.tokenizers.source.encode(line)) > 7)


def test_test_split_is_read_only_when_asked_for(tmp_path: Path) -> None:
    data = data_module(tmp_path)
    (tmp_path / "test.target").write_text("too short\n")
    data.prepare_data()
    data.setup()
    with pytest.raises(UserError, match=r"test\.source has 53 lines, .*test\.target has 1 line:"):
        data.test_dataloader()


@pytest.mark.skipif(not MULTI30K.is_dir(), reason="../shared/data/multi30k is absent")
def test_multi30k_pads_little_and_every_batch_is_well_formed(tmp_path: Path) -> None:
    config = TokenizerConfig(
        model_type="bpe",
        vocab_size=10000,
        joint=True,
        sampling=0.0,
        normalization="nfc",
        character_coverage=1.0,
        input_sentence_size=100000,
    )
    data = TranslationDataModule(
        corpus=Multi30kCorpus(root=str(MULTI30K), form="tokenized", source="en", target="de"),
        tokenizer=config,
        loader=LoaderConfig(
            tokens_per_batch=4096, eval_tokens_per_batch=4096, max_length=100, max_ratio=4.0, cache_dir=str(tmp_path)
        ),
        seed=1,
    )
    data.prepare_data()
    data.setup()
    batches = list(data.train_dataloader())
    assert sum(map(len, batches)) == 29000
    shares = torch.tensor([batch.padding_share for batch in batches])
    positions = torch.tensor([batch.source.numel() + batch.target_input.numel() for batch in batches])
    assert (shares * positions).sum() / positions.sum() < 0.05
    for batch in batches:
        assert (batch.target_input[:, 0] == BOS).all()
        assert (batch.source[torch.arange(len(batch)), batch.source_lengths - 1] == EOS).all()
        assert len(batch.target_indices) == batch.num_tokens == batch.target_lengths.sum()


def test_batches_have_links_between_pieces_where_they_are_asked_for(tmp_path: Path) -> None:
    data = ready(tmp_path, linked=True, with_links=True)
    tokenizer = data.tokenizers.source
    for batch in epoch(data, 0)[:5]:
        assert batch.link_weights is not None
        for i, (index, source, target) in enumerate(rows_of(batch)):
            row = data.dataset("train")[index]
            source_words, target_words = (tokenizer.word_of_piece(row[side]).words for side in ("source", "target"))
            linked = {index % 7, index % 7 + 1}  # the noun and its number
            for t in range(batch.target_input.shape[1]):
                word = target_words[t] if t < len(target) else -1
                gold = [s for s in range(len(source)) if word in linked and source_words[s] == word]
                assert batch.link_weights[i, t].nonzero().flatten().tolist() == gold
                assert batch.link_weights[i, t].sum() == pytest.approx(1.0 if gold else 0.0)
    assert all(batch.link_weights is None for batch in data.val_dataloader())
    assert all(batch.link_weights is None for batch in epoch(ready(tmp_path, linked=True), 0))


def test_guidance_without_links_or_with_sampled_pieces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are none: give data.train.links=FILE"):
        ready(tmp_path, with_links=True)
    with pytest.raises(UserError, match=r"tokenizer.sampling changes: set that to 0"):
        ready(tmp_path, linked=True, with_links=True, sampling=0.1)


def test_segmentations_of_a_process_that_was_killed_are_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    dead = subprocess.Popen(["true"])
    dead.wait()
    for process in (dead.pid, os.getppid()):
        (tmp_path / "temporary" / f"seq2seq-sampled-{process}-x").mkdir(parents=True)
    (tmp_path / "temporary" / "seq2seq-sampled-x").mkdir()  # of something else
    data = ready(tmp_path, sampling=0.1)
    assert epoch(data, 0)
    left = sorted(folder.name.rpartition("-")[0] for folder in (tmp_path / "temporary").iterdir())
    assert left == sorted(
        ["seq2seq-sampled", *(f"seq2seq-sampled-{process}" for process in (os.getpid(), os.getppid()))]
    )


def test_full_temporary_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of the run may have room: the line must not speak of that."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = ready(tmp_path, sampling=0.1)
    monkeypatch.setattr(variation, "write_rows", full)
    with pytest.raises(UserError, match=f"ids of an epoch in {re.escape(str(tmp_path))}: make some, or say TMPDIR="):
        epoch(data, 0)


def test_fewer_pairs_than_processes_are_refused_with_the_split(tmp_path: Path) -> None:
    data = ready(tmp_path)
    data.trainer = trainer(current_epoch=0, global_rank=0, world_size=102)
    with pytest.raises(UserError, match=r"^val: 101 pairs, too few for 102 processes.*trainer\.devices"):
        data.val_dataloader()
    data.train_dataloader()


def test_validation_after_more_batches_than_an_epoch_has_is_refused(tmp_path: Path) -> None:
    data = ready(tmp_path)
    batches = len(data.train_dataloader())
    options = {"global_rank": 0, "world_size": 1, "check_val_every_n_epoch": 1, "limit_train_batches": 1.0}
    data.trainer = trainer(current_epoch=0, val_check_interval=1000, **options)
    with pytest.raises(UserError, match=rf"val_check_interval=1000: an epoch has {batches} batches; give at most that"):
        data.train_dataloader()


def test_later_epoch_with_fewer_batches_is_validated_at_its_end(tmp_path: Path) -> None:
    data = data_module(tmp_path)
    running = trainer(check_val_every_n_epoch=1, limit_train_batches=1.0, val_check_interval=19)
    data.trainer = running
    seen = []
    for number, batches in enumerate((20, 18, 19)):
        data._fit_interval(batches, number)
        seen.append(running.val_check_interval)
    assert seen == [19, 18, 19]
