"""`seq2seq align`: Pharaoh links, a line a pair, that `seq2seq aer` reads back."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.alignment.links import format_links, parse_links
from seq2seq.alignment.symmetrization import SYMMETRIZATIONS
from seq2seq.checkpoint import KEY
from seq2seq.cli.aer import aer

Command = Callable[..., Any]


def sides(text_folder: Path, split: str = "test") -> list[str]:
    return [f"{side}={text_folder / f'{split}.{side}'}" for side in ("source", "target")]


@pytest.mark.parametrize("model", ["bahdanau", "transformer"])
def test_links_have_the_error_rate_that_training_reported(
    command: Command, request: pytest.FixtureRequest, text_folder: Path, tmp_path: Path, model: str
) -> None:
    run = request.getfixturevalue(model)
    said = command("align", f"checkpoint={run.best}", *sides(text_folder), "output=out put.links")
    assert (said.status, said.out, said.err) == (0, "", "")
    lines = (tmp_path / "out put.links").read_text().splitlines()
    sources, targets = ((text_folder / f"test.{side}").read_text().splitlines() for side in ("source", "target"))
    assert len(lines) == len(sources) == 10
    for line, source, target in zip(lines, sources, targets, strict=True):
        assert re.fullmatch(r"(\d+-\d+( \d+-\d+)*)?", line)
        links = [tuple(map(int, link.split("-"))) for link in line.split()]
        assert all(i < len(source.split()) and j < len(target.split()) for i, j in links)
        assert len({j for _, j in links}) == len(links)
    expected = f"AER {run.metrics['test/aer']:.1%}"
    assert aer(str(text_folder / "test.links"), str(tmp_path / "out put.links")).startswith(expected)
    said = command("aer", f"gold={text_folder / 'test.links'}", "hypothesis=out put.links")
    assert said.status == 0 and said.out.startswith(expected) and said.out.count("\n") == 1


def test_links_go_to_stdout_by_themselves(command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path) -> None:
    options = [f"checkpoint={bahdanau.best}", *sides(text_folder)]
    said = command("align", *options)
    assert command("align", *options, "output=out").status == 0
    assert said.status == 0 and said.out == (tmp_path / "out").read_text()


def test_empty_side_gives_an_empty_line(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("the wolf\n\nthe wolf\n")
    (tmp_path / "target").write_text("\nder Wolf\nder Wolf\n")
    said = command("align", f"checkpoint={bahdanau.best}", "source=source", "target=target")
    assert said.status == 0
    assert said.out.split("\n")[:2] == ["", ""] and said.out.count("\n") == 3


def test_pairs_are_numbered_on_where_the_input_paused(
    command: Command, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.cli.align.CHUNK", 2)
    (tmp_path / "source").write_text("a\n\na\nthe wolf slept well\n")
    (tmp_path / "target").write_text("a\na\na\na\n")
    said = command("align", f"checkpoint={bahdanau.best}", "source=source", "target=target", "loader.max_length=3")
    assert said.status == 0 and said.out.count("\n") == 4 and said.err.startswith("source:4: ")


def test_checkpoint_from_before_the_first_validation_says_so(
    command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path
) -> None:
    content = torch.load(bahdanau.best, weights_only=True)
    content[KEY]["alignment"] = None
    torch.save(content, tmp_path / "early.ckpt")
    said = command("align", "checkpoint=early.ckpt", *sides(text_folder), "output=out")
    assert said.status == 1 and "the first validation chooses it; give another checkpoint" in said.err


def test_model_without_attention_says_so(
    command: Command, train_briefly: Any, text_folder: Path, tmp_path: Path
) -> None:
    run = train_briefly("model=bottleneck")
    said = command("align", f"checkpoint={run.best}", *sides(text_folder), "output=out")
    assert said.status == 1 and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert "no attention" in said.err and not (tmp_path / "out").exists()
    advice = (run.folder / "train.log").read_text(encoding="utf-8")  # what to do next is what can be done
    assert "visualize" not in advice and "Text tab" in advice


def test_two_directions_are_joined(command: Command, bahdanau: Any, train_briefly: Any, text_folder: Path) -> None:
    other = {"source": "target", "target": "source", "links": "links"}
    files = [
        f"data.{split}.{kind}={text_folder / f'{split}.{other[kind]}'}"
        for split in ("train", "val", "test")
        for kind in other
    ]
    back = train_briefly("model=transformer", *files, "data.transpose_links=true")
    source, target = sides(text_folder)
    ours = command("align", f"checkpoint={bahdanau.best}", "links=argmax", source, target).out.splitlines()
    turned = [f"source={text_folder / 'test.target'}", f"target={text_folder / 'test.source'}"]
    theirs = command("align", f"checkpoint={back.best}", "links=argmax", *turned).out.splitlines()
    options = [f"checkpoint={bahdanau.best}", f"reverse={back.best}", "links=argmax", source, target]
    for name, join in SYMMETRIZATIONS.items():
        said = command("align", *options, f"symmetrize={name}")
        expected = [
            format_links(join(parse_links(a).sure, {(i, j) for j, i in parse_links(b).sure}))
            for a, b in zip(ours, theirs, strict=True)
        ]
        assert said.status == 0 and said.out.splitlines() == expected
    assert any(ours) and any(theirs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["reverse={best}"], "was trained on the same data in the same direction"),
        (["symmetrize=union"], "symmetrize=union joins the links of two models; give the other: reverse=FILE"),
        (["reverse={best}", "symmetrize=both"], "symmetrize=both is not known"),
    ],
)
def test_reverse_that_cannot_be_is_refused(
    command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    given = [option.format(best=bahdanau.best) for option in options]
    found = command("align", f"checkpoint={bahdanau.best}", *sides(text_folder), "output=out", *given)
    assert found.status == 1 and said in found.err and found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
