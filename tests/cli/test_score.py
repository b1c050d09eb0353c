"""`seq2seq score`: a log-probability a pair, by token on request; of one model and of several."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seq2seq
from seq2seq.checkpoint import read_checkpoint

Command = Callable[..., Any]


def sides(text_folder: Path) -> list[str]:
    return [f"{side}={text_folder / f'test.{side}'}" for side in ("source", "target")]


def test_scores_have_the_perplexity_that_evaluation_reports(
    command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path
) -> None:
    said = command("score", f"checkpoint={bahdanau.best}", *sides(text_folder))
    values = [float(line) for line in said.out.splitlines()]
    assert said.status == 0 and len(values) == 10 and max(values) < 0
    found = re.fullmatch(r"perplexity (.*) a piece: log-probability (.*) of (\d+) pieces in 10 pairs\n", said.err)
    assert found and float(found[2]) == pytest.approx(sum(values), abs=0.01)
    assert float(found[1]) == pytest.approx(bahdanau.metrics["test/perplexity"], rel=1e-4)
    assert command("score", f"checkpoint={bahdanau.best}", *sides(text_folder), "output=o, (1)").out == ""
    assert (tmp_path / "o, (1)").read_text() == said.out


def test_by_token_every_piece_has_its_share(command: Command, bahdanau: Any, text_folder: Path) -> None:
    options = [f"checkpoint={bahdanau.best}", *sides(text_folder)]
    whole = [float(line) for line in command("score", *options).out.splitlines()]
    rows = [json.loads(line) for line in command("score", *options, "by=token").out.splitlines()]
    targets = (text_folder / "test.target").read_text(encoding="utf-8").splitlines()
    for row, total, target in zip(rows, whole, targets, strict=True):
        pieces, values = zip(*row["tokens"], strict=True)
        said = "".join(pieces[:-1]).replace("▁", " ").strip()
        assert pieces[-1] == "</s>" and re.fullmatch(re.escape(said).replace("<unk>", ".+"), target)
        assert row["log_probability"] == pytest.approx(total) == pytest.approx(sum(values), abs=0.01)


def test_empty_side_is_the_end_alone(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("the wolf\n\nthe wolf\n\n")
    (tmp_path / "target").write_text("\nder Wolf\nder Wolf\n \n")
    said = command("score", f"checkpoint={bahdanau.best}", "source=source", "target=target", "by=token")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert said.status == 0 and [len(row["tokens"]) > 1 for row in rows] == [False, True, True, False]
    assert all(math.isfinite(row["log_probability"]) for row in rows)


def test_several_checkpoints_are_one_model_everywhere(
    command: Command, bahdanau: Any, transformer: Any, text_folder: Path, tmp_path: Path
) -> None:
    both = f"checkpoint=[{bahdanau.best}, '{transformer.best}']"
    means = {}
    for mean in ("log", "linear"):
        said = command("score", both, *sides(text_folder), f"ensemble={mean}")
        assert said.status == 0, said.err
        means[mean] = [float(line) for line in said.out.splitlines()]
    assert means["log"] != means["linear"]
    model = seq2seq.load([bahdanau.best, transformer.best], device="cpu", ensemble="linear")
    pairs = list(
        zip(*((text_folder / f"test.{s}").read_text().splitlines() for s in ("source", "target")), strict=True)
    )
    assert [score.log_probability for score in model.score(pairs)] == pytest.approx(means["linear"], abs=1e-3)
    stdin = (text_folder / "test.source").read_bytes()
    said = command("translate", both, "ensemble=linear", "search.max_length=9", stdin=stdin)
    assert said.out.splitlines() == model.translate([source for source, _ in pairs], max_length=9)
    options = [both, "data=text", "search=greedy", "search.max_length=5"]
    files = [f"data.test.{s}={text_folder / f'test.{s}'}" for s in ("source", "target")]
    said = command("evaluate", *options, *files, "output=together", "ensemble=linear")
    assert said.status == 0, said.err
    found = json.loads((tmp_path / "together" / "evaluation-test.json").read_text())
    assert found["checkpoint"] == [bahdanau.best, transformer.best] and found["ensemble"] == "linear"
    pieces = sum(len(score.pieces) for score in model.score(pairs))
    assert math.log(found["metrics"]["perplexity"]) == pytest.approx(-sum(means["linear"]) / pieces, rel=1e-4)
    assert "aer" not in found["metrics"]
    said = command("evaluate", *options, *files)
    assert said.status == 1 and "give a folder for the scores: output=FOLDER" in said.err


def test_models_of_other_vocabularies_are_refused_before_the_work(
    command: Command, bahdanau: Any, train_briefly: Any, text_folder: Path, tmp_path: Path
) -> None:
    other = train_briefly("tokenizer.vocab_size=190")
    message = f"error: {other.best} has another source vocabulary (190 pieces) than {bahdanau.best} (200); "
    for options in (["score", *sides(text_folder)], ["translate"], ["evaluate"]):
        said = command(options[0], f"checkpoint=[{bahdanau.best},{other.best}]", *options[1:], "output=out")
        assert said.status == 1 and said.err.startswith(message) and said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(seq2seq.errors.UserError, match="has another source vocabulary"):
        seq2seq.load([bahdanau.best, other.best])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["by=word"], "by=word is not known; use by=sentence or by=token"),
        (["checkpoint=[{best},{best}]"], "names {best} twice; give each checkpoint once"),
        (
            ["checkpoint=[no,1.ckpt,no,2.ckpt]"],
            "names no twice; give each checkpoint once, and in quotes where its name",
        ),
        (["checkpoint=[]"], "checkpoint=[] names no file"),
        (["checkpoint=[{best},,{transformer}]"], "expected files between commas"),
        (["checkpoint=[{best},gone.ckpt]"], "there is no checkpoint gone.ckpt"),
        (["target={source}", "source=short"], "short has 1 line, {source} has 10 lines: line n of one must belong"),
        (["output={source}"], "cannot write {source}: it is being read; give another file"),
        (["checkpoint=[{best},{transformer}]", "ensemble=max"], "ensemble=max is not known; use log or linear"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    command: Command, bahdanau: Any, transformer: Any, text_folder: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "short").write_text("the wolf\n")
    names = {"best": bahdanau.best, "transformer": transformer.best, "source": text_folder / "test.source"}
    given = [f"checkpoint={bahdanau.best}", *sides(text_folder), *(option.format(**names) for option in options)]
    keys = {argument.partition("=")[0]: argument for argument in given}
    found = command("score", *keys.values())
    assert found.status == 1 and found.err.count("\n") == 1 and said.format(**names) in found.err
    assert (text_folder / "test.source").read_text().count("\n") == 10


def test_what_an_ensemble_has_not_is_refused(bahdanau: Any, transformer: Any) -> None:
    model = seq2seq.load([bahdanau.best, transformer.best], device="cpu")
    assert model.checkpoint.path == read_checkpoint(bahdanau.best).path
    for ask in (
        lambda: model.attention("the wolf"),
        lambda: model.explain("the wolf"),
        lambda: model.align([("a", "b")]),
    ):
        with pytest.raises(
            seq2seq.errors.UserError, match="several models together have no attention; load one of them"
        ):
            ask()
