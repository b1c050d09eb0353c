"""`resume=`: an interrupted run goes on where it stood, and ends as if nothing had happened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.training.callbacks import ValidationReport

Command = Callable[..., Any]
BRIEF = ["callbacks.pinned=null", "training.test_splits=[]", "search.max_length=5", "trainer.limit_train_batches=2"]


def runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("outputs/*/*/*/config.yaml"))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture
def interrupted(command: Command, text: list[str], tmp_path: Path) -> Callable[..., Path]:
    """`interrupted("seed=2")`: the folder of a run that ended in an error at its second validation of two."""

    def run(*overrides: str) -> Path:
        def crash(_: Any, trainer: Any, __: Any) -> None:
            if trainer.current_epoch == 1:
                raise RuntimeError("the lights went out")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ValidationReport, "on_validation_end", crash)
            said = command("train", *text, *BRIEF, *overrides)
        assert said.status == 1 and "the lights went out" in said.err
        (config,) = runs(tmp_path)
        assert not (config.parent / "metrics.json").exists()
        return config.parent

    return run


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["callbacks=ema"],
        ["tokenizer.sampling=0.1"],
        ["optimizer=muon", "data.streaming=true", "scheduler=inverse_square_root", "tokenizer.sampling=0.1"],
    ],
    ids=str,
)
def test_resumed_run_equals_an_uninterrupted_one(
    command: Command,
    text: list[str],
    interrupted: Callable[..., Path],
    train: Any,
    tmp_path: Path,
    overrides: list[str],
) -> None:
    whole = train(*BRIEF, *overrides, folder="whole")
    folder = interrupted(*overrides)
    assert command("train", *text, *BRIEF, *overrides, "resume=true").status == 0
    assert runs(tmp_path) == [folder / "config.yaml"]
    expected = weights(whole.folder)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(folder).items())
    mine = type(whole)(folder)
    assert {name: mine.metrics[name] for name in ("steps", "epochs", "val/loss", "val/bleu")} == {
        name: whole.metrics[name] for name in ("steps", "epochs", "val/loss", "val/bleu")
    }


def test_named_folder_is_resumed(command: Command, text: list[str], train: Any, tmp_path: Path) -> None:
    brief = [*BRIEF, "scheduler=constant"]  # the default's rate depends on the number of epochs
    run = train(*brief, "trainer.max_epochs=1", folder="a run, (old)")
    whole = train(*brief, folder="whole")
    assert command("train", *text, *brief, "resume=a run, (old)").status == 0
    assert run.metrics["steps"] == 4
    expected = weights(whole.folder)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(run.folder).items())


def test_run_of_another_configuration_is_not_continued(
    command: Command, text: list[str], interrupted: Callable[..., Path]
) -> None:
    folder = interrupted()
    said = command("train", *text, *BRIEF, "optimizer.lr=0.5", "resume=true")
    assert said.status == 1 and said.err.startswith("error: resume=true: there is no unfinished run")
    assert said.err.count("\n") == 1
    assert not (folder / "metrics.json").exists()


def test_finished_run_is_not_continued(command: Command, text: list[str], tmp_path: Path) -> None:
    assert command("train", *text, *BRIEF).status == 0
    said = command("train", *text, *BRIEF, "resume=true")
    assert said.status == 1 and said.err.startswith("error: resume=true") and said.err.count("\n") == 1
    assert len(runs(tmp_path)) == 1


def test_folder_without_a_run_is_named(command: Command, text: list[str], tmp_path: Path) -> None:
    said = command("train", *text, "resume=no such run")
    assert said.status == 1 and said.err.count("\n") == 1
    assert said.err.startswith("error: resume=no such run: ")
    assert list(tmp_path.iterdir()) == []


def test_newest_of_several_unfinished_runs_is_continued(
    command: Command, text: list[str], interrupted: Callable[..., Path], tmp_path: Path
) -> None:
    first = interrupted()
    newer = first.with_name("9999-12-31_23-59-59")
    config = (first / "config.yaml").read_text()
    (newer / "checkpoints").mkdir(parents=True)
    (newer / "config.yaml").write_text(
        config.replace(str(first.relative_to(tmp_path)), str(newer.relative_to(tmp_path)))
    )
    (newer / "checkpoints" / "last.ckpt").write_bytes((first / "checkpoints" / "last.ckpt").read_bytes())
    assert command("train", *text, *BRIEF, "resume=true").status == 0
    assert (newer / "metrics.json").exists() and not (first / "metrics.json").exists()


def test_run_with_brackets_in_its_name_is_found(
    command: Command, text: list[str], interrupted: Callable[..., Path]
) -> None:
    folder = interrupted("label=-k[x]*")
    assert command("train", *text, *BRIEF, "label=-k[x]*", "resume=true").status == 0
    assert (folder / "metrics.json").exists()


@pytest.mark.parametrize("resume", ["true", None])
def test_damaged_checkpoint_is_named(
    command: Command, text: list[str], interrupted: Callable[..., Path], resume: str | None
) -> None:
    folder = interrupted()
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    before = (folder / "error.txt").read_text()
    said = command("train", *text, *BRIEF, f"resume={resume or folder}")
    assert said.status == 1 and said.err.count("\n") == 1
    assert "last.ckpt" in said.err and "cut off" in said.err
    assert (folder / "error.txt").read_text() == before


VARIANTS = "variants=['model=luong score=dot','model=bottleneck','model=luong score=general']"


def test_variants_are_finished_where_they_stood(
    command: Command, text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was finished, one interrupted, one not begun: none is lost, and none trained twice."""
    report = ValidationReport.on_validation_end

    def crash(self: Any, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1 and "bottleneck" in trainer.log_dir:
            raise KeyboardInterrupt
        report(self, trainer, module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ValidationReport, "on_validation_end", crash)
        said = command("train", *text, *BRIEF, VARIANTS)
    assert said.status == 130 and "the same command with resume=true" in said.err
    before = {path.parent: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.json")}
    assert [run.parent.name for run in before] == ["luong-dot-s1"] and len(runs(tmp_path)) == 2
    said = command("train", *text, *BRIEF, VARIANTS, "resume=true")
    assert said.status == 0 and "finished already: model=luong score=dot" in said.out
    after = {path.parent: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.json")}
    assert before.items() <= after.items()
    assert sorted(run.parent.name for run in after) == ["bottleneck-none-s1", "luong-dot-s1", "luong-general-s1"]
    assert len(runs(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["", "- a list", "output: [", "x: 1"], ids=repr)
def test_damaged_configuration_is_said_to_be_so(command: Command, text: list[str], train: Any, damage: str) -> None:
    run = train(*BRIEF, "trainer.max_epochs=1")
    (run.folder / "config.yaml").write_text(damage)
    said = command("train", *text, *BRIEF, f"resume={run.folder}")
    assert said.status == 1 and said.err.count("\n") == 1 and "config.yaml is missing or damaged" in said.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--multirun", "seed=1,2", "resume=true"], "error: resume: --multirun starts new runs"),
        ([VARIANTS, "resume=somewhere"], "error: resume=somewhere: a folder holds one run"),
    ],
)
def test_what_cannot_be_resumed_is_refused(
    command: Command, text: list[str], tmp_path: Path, arguments: list[str], line: str
) -> None:
    said = command("train", *text, *BRIEF, *arguments)
    assert said.status == 1 and line in said.err and not (tmp_path / "outputs").exists()
