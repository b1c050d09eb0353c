"""`seq2seq links`: words of a text linked by its statistics alone, and what it says of text that it cannot link."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.alignment.statistical import ALIGNERS, align_text
from seq2seq.alignment.symmetrization import SYMMETRIZATIONS
from seq2seq.cli.aer import aer
from tests.sentences import sentences

Command = Callable[..., Any]
PAIRS = sentences("val")[:300]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three hundred pairs of the grammar, with a line that is empty on one side; the overrides that name the files."""
    for kind in ("source", "target", "links"):
        lines = [getattr(pair, kind) for pair in PAIRS]
        if kind != "source":
            lines[7] = ""
        (tmp_path / kind).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return ["source=source", "target=target", "output=out.links"]


@pytest.mark.parametrize("aligner", ["fast_align", "hmm"])
def test_links_of_a_text_are_nearly_its_gold_links(
    command: Command, files: list[str], tmp_path: Path, aligner: str
) -> None:
    said = command("links", *files, f"aligner={aligner}")
    assert said.status == 0 and said.out == "", said.err
    lines = (tmp_path / "out.links").read_text().splitlines()
    assert len(lines) == len(PAIRS) and lines[7] == ""
    rate = json.loads(aer(str(tmp_path / "links"), str(tmp_path / "out.links"), output_format="json"))
    assert rate["aer"] < 25  # of the diagonal it is 36
    first = (tmp_path / "out.links").read_bytes()
    assert command("links", *files, f"aligner={aligner}").status == 0
    assert (tmp_path / "out.links").read_bytes() == first


@pytest.mark.parametrize("aligner", ALIGNERS)
def test_every_aligner_links_words_that_always_stand_together(aligner: str) -> None:
    words = [f"w{i}" for i in range(12)]
    sentences = [[words[(i * k) % 12] for k in (1, 5, 7)] for i in range(12)] * 3
    pairs = [(sentence, [word.upper() for word in sentence]) for sentence in sentences]
    found = align_text(pairs, aligner=aligner, symmetrize="grow_diag_final_and")
    right = sum(len(links & {(0, 0), (1, 1), (2, 2)}) for links in found.links)
    assert right > 0.8 * 3 * len(pairs)
    assert found == align_text(pairs, aligner=aligner, symmetrize="grow_diag_final_and")


def test_symmetrisation_joins_what_each_direction_finds() -> None:
    pairs = [(pair.source.split(), pair.target.split()) for pair in PAIRS[:100]]
    forward, back, both = (
        align_text(pairs, aligner="fast_align", symmetrize=name).links for name in ("none", "reverse", "grow_diag")
    )
    assert both == [SYMMETRIZATIONS["grow_diag"](*links) for links in zip(forward, back, strict=True)]
    assert all(len({target for _, target in links}) == len(links) for links in forward)
    assert all(len({source for source, _ in links}) == len(links) for links in back)
    assert forward != back


def test_further_text_is_learnt_from_and_words_of_the_library_are_words(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("NULL UNKNOWN_WORD\n")
    (tmp_path / "b").write_text("x y\n")
    (tmp_path / "more.a").write_text("NULL\nUNKNOWN_WORD\n" * 20)
    (tmp_path / "more.b").write_text("y\nx\n" * 20)
    options = ["source=a", "target=b", "symmetrize=intersection"]
    assert command("links", *options, "train.source=more.a", "train.target=more.b").out == "0-1 1-0\n"
    said = command("links", *options, "train.source=more.a")
    assert said.status == 1 and "train.target is missing" in said.err and said.out == ""


def test_pairs_that_are_too_long_are_named_and_have_no_links(
    command: Command, files: list[str], tmp_path: Path
) -> None:
    with (tmp_path / "source").open("a") as source, (tmp_path / "target").open("a") as target:
        source.write(f"{'a ' * 300}\nwolf\n")
        target.write("b\nWolf\n")
    said = command("links", *files, "aligner=hmm")
    assert said.status == 0
    assert "without links, as hmm takes 200 words at most: line 301" in said.err
    lines = (tmp_path / "out.links").read_text().splitlines()
    assert len(lines) == 302 and lines[300] == ""


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("aligner=fastalign", "aligner=fastalign is not known; did you mean fast_align?"),
        ("symmetrize=grow-diag", "symmetrize=grow-diag is not known; did you mean grow_diag?"),
        ("target=links", "links is empty"),
        ("target=short", "short has 1 line"),
        ("target=nowhere", "nowhere does not exist"),
        ("output=target", "it is being read"),
        ("output=no/such/folder", "cannot write no/such/folder"),
    ],
)
def test_mistake_is_one_line_and_leaves_nothing(
    command: Command, files: list[str], tmp_path: Path, override: str, said: str
) -> None:
    (tmp_path / "short").write_text("der Wolf\n")
    if override == "target=links":
        (tmp_path / "links").write_text("\n" * len(PAIRS))
        said = "no line has words on both sides"
    before = sorted(path.name for path in tmp_path.iterdir())
    result = command("links", *files, override)
    assert result.status == 1 and result.out == ""
    assert result.err.startswith("error: ") and said in result.err and result.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_missing_package_is_named_with_the_remedy(
    command: Command, files: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "thot.alignment", None)
    monkeypatch.delitem(sys.modules, "seq2seq.alignment.statistical")
    said = command("links", *files)
    assert said.status == 1 and "sil-thot: pip install 'seq2seq[align]'" in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "out.links").exists()


@pytest.mark.parametrize("aligner", ALIGNERS)
def test_text_of_which_nothing_fits_or_hardly_anything_is_there_has_few_links(aligner: str) -> None:
    long = ["a"] * 1025
    assert align_text([(long, ["b"]), ([], [])], aligner=aligner, symmetrize="union").links == [set(), set()]
    assert align_text([(["a"], ["b"])], aligner=aligner, symmetrize="union").links in ([set()], [{(0, 0)}])


def test_links_guide_a_training(command: Command, train_briefly: Any, text_folder: Path, tmp_path: Path) -> None:
    sides = [f"{side}={text_folder / f'train.{side}'}" for side in ("source", "target")]
    assert command("links", *sides, "output=made.links").status == 0
    guided = [f"data.train.links={tmp_path / 'made.links'}", "training.guided_alignment.weight=0.05"]
    assert train_briefly(*guided).metrics["val/aer"] >= 0
