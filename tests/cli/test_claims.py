"""Whose a folder is: a command that is refused leaves it as it was, and runs of one second have one each."""

import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra.core.utils
import pytest
import yaml

from seq2seq.cli.training import runs
from seq2seq.cli.training.run_folder import LOCK, claimed, free_folder

Command = Callable[..., Any]
SWEEP = "multirun.yaml"
"""What Hydra writes of a sweep into the sweep's own folder."""

QUICK = ["scheduler.scheduler.warmup_steps=2"]
WRONG = ["model=luong", "tokenizer.vocab_size=9999"]  # found when the vocabulary is made
ONE_STEP = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "search.max_length=5",
    "callbacks.pinned=null",
    "training.test_splits=[]",
]


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return what is in every file of a folder, and when it was written.

    The lock is always empty; filelock before 4.2.6 sets its time also where it does not get it.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != SWEEP]
    times = {file: 0 if file.name == LOCK else file.stat().st_mtime_ns for file in files}
    return {str(file.relative_to(folder)): (file.read_bytes(), time) for file, time in times.items()}


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optimizer.lr=9"], "holds another run (config.yaml)"),
        (["optimizer.lrr=9"], "there is no key optimizer.lrr"),
        (["optimizer.lr=fast"], "optimizer.lr=fast"),
        (["data.train.source=nowhere"], "holds another run"),
        (["optimizer.lr=9", "hydra.output_subdir=.hydra"], "holds another run"),
        (["optimizer.lr=9", "hydra.verbose=true"], "holds another run"),
        (["optimizer.lr=9", "--multirun", "hydra.sweep.dir={folder}", "hydra.sweep.subdir=."], "holds another run"),
        (["optimizer.lr=9", "output={folder}", "hydra.run.dir=other"], "hydra.run.dir={folder}"),
        (["optimizer.lr=9", "resume={folder}"], "optimizer is not what that run was started with"),
    ],
    ids=lambda value: " ".join(value).split("/")[0] if isinstance(value, list) else "",
)
def test_refused_command_leaves_a_run_as_it_was(
    command: Command, text: list[str], bahdanau: Any, tmp_path: Path, overrides: list[str], line: str
) -> None:
    before = content(bahdanau.folder)
    given = [override.replace("{folder}", str(bahdanau.folder)) for override in overrides]
    said = command("train", *text, f"hydra.run.dir={bahdanau.folder}", *given)
    assert said.status == 1 and line.replace("{folder}", str(bahdanau.folder)) in said.err.splitlines()[-1]
    assert content(bahdanau.folder) == before and not (tmp_path / "other").exists()


def test_run_in_training_is_left_as_it_is(command: Command, text: list[str], bahdanau: Any) -> None:
    before = content(bahdanau.folder)
    with claimed(bahdanau.folder):
        said = command("train", *text, "trainer.max_epochs=9", *QUICK, f"resume={bahdanau.folder}")
    assert said.status == 1 and "another process trains in" in said.err
    assert content(bahdanau.folder) == before


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let no time pass for Hydra; the name that it gives."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls(2030, 1, 2, 3, 4, 5)

    monkeypatch.setattr(hydra.core.utils, "datetime", Clock)
    return "2030-01-02_03-04-05"


def test_runs_of_one_second_have_a_folder_each(command: Command, text: list[str], tmp_path: Path, clock: str) -> None:
    assert command("train", *text, *ONE_STEP, "optimizer.lr=0.1").status == 0
    with claimed(tmp_path / "outputs" / "text" / "bahdanau-additive-s1" / clock):  # as if it were still training
        said = command("train", *text, *ONE_STEP, "optimizer.lr=0.2")
    assert said.status == 0, said.err
    first, second = sorted((tmp_path / "outputs" / "text" / "bahdanau-additive-s1").iterdir())
    assert (first.name, second.name) == (clock, f"{clock}-1")
    for folder, rate in ((first, 0.1), (second, 0.2)):
        assert json.loads((folder / "metrics.json").read_text())["steps"] == 1
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert (config["optimizer"]["lr"], config["output"]) == (rate, str(folder))
        assert f"optimizer.lr={rate}" in yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())
        settings = yaml.safe_load((folder / ".hydra" / "hydra.yaml").read_text())["hydra"]
        assert settings["runtime"]["output_dir"] == str(folder)
        log = (folder / "train.log").read_text()
        assert log.count("training pairs") == 1 and f"/{folder.name}\n" in log and "epoch   1" in log


def test_sweeps_of_one_second_have_folders_each(command: Command, text: list[str], tmp_path: Path, clock: str) -> None:
    for _ in range(2):
        assert command("train", "--multirun", *text, *WRONG).status == 1
    runs = tmp_path / "outputs" / "text" / "luong-general-s1"
    assert sorted(folder.name for folder in runs.iterdir()) == [f"{clock}-0", f"{clock}-0-1"]
    assert all((folder / "error.txt").exists() and (folder / ".hydra").is_dir() for folder in runs.iterdir())


def test_log_of_a_run_ends_with_the_run(
    command: Command, text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_training(config: Any, *_: Any) -> dict[str, float]:
        logging.getLogger("seq2seq").warning("seed %d", config.seed)
        return {"val/loss": 1.0}

    monkeypatch.setattr(runs, "run_training", run_training)
    # Else Hydra itself takes away what listens to the run before.
    assert command("train", "-m", *text, "hydra/job_logging=none", "seed=1,2").status == 0
    logs = sorted(tmp_path.glob("outputs/*/*/*/train.log"))
    assert [log.read_text() for log in logs] == ["seed 1\n", "seed 2\n"]


def test_name_is_given_to_one_alone_of_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: free_folder(tmp_path / "a" / "run"), range(16)))
    assert sorted(folder.name for folder in found) == sorted(["run", *(f"run-{n}" for n in range(1, 16))])


def test_account_of_the_command_is_where_it_was_asked_for_or_nowhere(
    command: Command, text: list[str], tmp_path: Path
) -> None:
    command("train", *text, *WRONG, "hydra.run.dir=a", "hydra.output_subdir=asked")
    command("train", *text, *WRONG, "hydra.run.dir=b", "hydra.output_subdir=null")
    assert sorted(os.listdir(tmp_path / "a" / "asked")) == ["config.yaml", "hydra.yaml", "overrides.yaml"]
    assert sorted(os.listdir(tmp_path / "b")) == [".lock", "error.txt", "train.log"]
