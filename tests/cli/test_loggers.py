"""`logger=`: what a run logs goes to each place that was named."""

import csv
import errno
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger
from tensorboard.compat.tensorflow_stub.io.gfile import LocalFileSystem

from seq2seq.comparison.curves import read_curves
from tests.cli.conftest import ONE_STEP

LOGGED = ("val/loss", "val/bleu", "epoch")


def rows(run: Path) -> list[tuple[int, str, float]]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [(int(row["step"]), row["metric"], float(row["value"])) for row in csv.DictReader(file)]


@pytest.mark.filterwarnings("ignore")  # their libraries warn of each other
def test_several_loggers_get_numbers_pictures_and_text(
    train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = train("logger=[tensorboard,csv,mlflow,wandb]", "logger.wandb.offline=true", "training.test_splits=[]")

    numbers = {(step, name): value for step, name, value in rows(run.folder)}
    curves = read_curves(run.folder).scalars
    for name in LOGGED:
        curve = curves[name]
        assert [numbers[step, name] for step in curve.steps] == pytest.approx(curve.values)

    with sqlite3.connect(tmp_path / "outputs" / "mlflow.db") as base:
        kept = base.execute("select step, value from metrics where key = 'val/loss' order by step").fetchall()
        names = base.execute("select name from runs").fetchall()
    assert kept == [(step, pytest.approx(value)) for step, value in zip(*curves["val/loss"][::2], strict=True)]
    assert names == [("bahdanau-additive-s1",)]
    pictures = [path.name for path in (tmp_path / "outputs" / "mlartifacts").rglob("*.png")]
    assert any(name.startswith("alignment~cross~sentence-1") for name in pictures)
    assert list((tmp_path / "outputs" / "mlartifacts").rglob("translation/sentence-1/step-*.txt"))

    (offline,) = (run.folder / "wandb").glob("offline-run-*")
    assert list((offline / "files" / "media").rglob("*sentence-1*.png"))


@pytest.mark.parametrize(
    ("kind", "package", "extra"), [(MLFlowLogger, "mlflow", "mlflow"), (WandbLogger, "wandb", "wandb")]
)
def test_logger_whose_package_is_missing_is_refused_before_the_run(
    command: Callable[..., Any],
    text: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    package: str,
    extra: str,
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'")

    monkeypatch.setattr(kind, "__init__", missing)
    said = command("train", *text, f"logger={package}", "hydra.run.dir=run")
    assert said.status == 1
    assert said.err.count("\n") == 1 and f"pip install 'seq2seq[{extra}]'" in said.err
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("steps", [1, 0])
def test_disk_that_is_full_while_tensorboard_writes_is_one_line(
    command: Callable[..., Any], text: list[str], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """It writes in a thread, whose trace nobody needs; Lightning calls the number one that cannot be logged."""
    write = LocalFileSystem._write

    def full(system: Any, name: str, *given: Any) -> None:
        if not steps and str(name).endswith(".0"):  # of the training; the next is of its scores
            write(system, name, *given)
        else:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    monkeypatch.setattr(LocalFileSystem, "_write", full)
    said = command("train", *text, *ONE_STEP, "hydra.run.dir=full")
    assert said.status == 1 and "Traceback" not in said.err and "tried to log" not in said.err
    assert re.search("no space left on the disk of full: make some|: No space left on device; make some$", said.err)


def test_unknown_logger_is_refused(command: Callable[..., Any], text: list[str]) -> None:
    said = command("train", *text, "logger=cvs")
    assert said.status == 1 and "csv, mlflow, tensorboard, wandb" in said.err


def test_run_without_a_logger_is_a_run(train_briefly: Callable[..., Any]) -> None:
    run = train_briefly("logger=[]")
    assert run.metrics["steps"] == 2 and not list(run.folder.glob("events*"))
