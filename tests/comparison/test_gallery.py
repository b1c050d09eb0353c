"""The gallery shows the head that is the alignment, gold links where the data are at hand, and survives what is not."""

from pathlib import Path

import pytest
import torch

from seq2seq.checkpoint import KEY, AlignmentChoice, pack
from seq2seq.comparison.gallery import gallery, head_rows
from seq2seq.comparison.runs import find_runs
from seq2seq.comparison.variants import group_runs
from seq2seq.data.corpus import GrammarCorpus
from tests.comparison.writer import REFERENCES, rows, write_attention, write_run

SCORES = {"test/bleu": 50.0, "val/aer": 0.5}
SIZE = 5  # words of the first pair, and the end of the sentence
TWO_HEADS = torch.stack([torch.eye(SIZE), torch.eye(SIZE).flip(0)])


def _write(folder: Path, choice: AlignmentChoice | None = None, **options: object) -> None:
    write_run(folder, metrics=SCORES, pinned=[TWO_HEADS], **options)  # type: ignore[arg-type]
    if choice is not None:
        (folder / "checkpoints").mkdir()
        content = {KEY: pack({}, [], choice), "state_dict": {}}
        torch.save(content, folder / "checkpoints" / "best.ckpt")


def _first_map(folder: Path) -> dict:
    (sentence,) = gallery(group_runs(find_runs(folder)).variants)
    return sentence["maps"][0]


@pytest.mark.parametrize(
    ("choice", "expected", "label"),
    [
        (AlignmentChoice("decoder.attention", 1), TWO_HEADS[1], "head 1"),
        (AlignmentChoice("decoder.attention", None), TWO_HEADS.mean(0), "mean of heads"),
        (None, TWO_HEADS.mean(0), "mean of heads"),
    ],
)
def test_head_is_the_one_chosen_as_alignment_else_the_mean(
    tmp_path: Path, choice: AlignmentChoice | None, expected: torch.Tensor, label: str
) -> None:
    _write(tmp_path / "a", choice)
    found = _first_map(tmp_path)
    assert found["values"] == expected.tolist()
    assert found["head"] == label
    assert found["rows"] == ["der", "Hund", "schläft", ".", "</s>"]
    assert found["columns"] == ["the", "dog", "sleeps", ".", "</s>"]


def test_translation_stands_beside_the_map(tmp_path: Path) -> None:
    _write(tmp_path / "a", sentences={"val": rows(["der Hund .", *REFERENCES[1:]])})
    assert _first_map(tmp_path)["translation"] == "der Hund ."


def test_gold_links_come_from_the_data(tmp_path: Path) -> None:
    pair = next(iter(GrammarCorpus().pairs("val")))
    _write(tmp_path / "a")
    size = len(pair.target.split()) + 1, len(pair.source.split()) + 1
    file = tmp_path / "a" / "alignments" / "sentence-2.npz"
    write_attention(file, 0, torch.zeros(1, *size), source=pair.source, target=pair.target)
    unknown, known = gallery(group_runs(find_runs(tmp_path)).variants)
    assert unknown["gold"] is None
    links = known["gold"]["sure"] + known["gold"]["possible"]
    assert sorted(f"{source}-{target}" for source, target in links) == sorted(pair.links.replace("p", "-").split())


def test_data_that_are_not_here_outline_nothing(tmp_path: Path) -> None:
    gone = dict.fromkeys(("train", "val", "test"), {"source": "gone", "target": "gone", "links": "gone"})
    data = {"data": {"_target_": "seq2seq.data.corpus.TextCorpus", **gone}}
    _write(tmp_path / "a", config=data)
    (sentence,) = gallery(group_runs(find_runs(tmp_path)).variants)
    assert sentence["gold"] is None


def test_broken_archive_damages_the_run_and_leaves_the_others(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    (tmp_path / "a" / "alignments" / "sentence-2.npz").write_bytes(b"PK")
    variants = group_runs(find_runs(tmp_path)).variants
    assert len(gallery(variants)) == 1
    assert variants[0].runs[0].story.startswith("sentence-2.npz: it cannot be read")


def test_attention_that_is_no_number_damages_the_run(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    write_attention(tmp_path / "a" / "alignments" / "sentence-1.npz", 0, torch.full((2, 5, 6), torch.nan))
    variants = group_runs(find_runs(tmp_path)).variants
    assert not gallery(variants)
    assert variants[0].runs[0].story.startswith("sentence-1.npz: it cannot be read (it holds nan or inf)")


@pytest.mark.parametrize("content", ["", "[]", '{"test": [{"kind": "cross"}]}', '{"test": [], "x": NaN}'])
def test_broken_heads_damage_the_run(tmp_path: Path, content: str) -> None:
    write_run(tmp_path / "a", metrics=SCORES)
    (tmp_path / "a" / "heads.json").write_text(content)
    (run,) = find_runs(tmp_path)
    assert head_rows(run, "test") == []
    assert run.state == "damaged"
