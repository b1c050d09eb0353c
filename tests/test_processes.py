"""Two processes on a CPU are one: the same losses and scores, one folder, one writer, each example once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.strategies.launchers import subprocess_script
from lightning.pytorch.strategies import FSDPStrategy
from lightning.pytorch.trainer.connectors import accelerator_connector

from seq2seq.build_training import build_trainer
from seq2seq.cli.training.processes import as_program
from seq2seq.comparison.curves import read_curves
from seq2seq.options import compose_defaults
from tests.cli.conftest import _command
from tests.sentences import sentences

ROOT = Path(__file__).parents[1]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
TOGETHER = ["trainer.devices=2", "trainer.strategy=ddp"]
SETTINGS = """
data=text tokenizer.vocab_size=200 model.d_model=16 model.d_embedding=16 model.dropout=0 search.max_length=10
trainer=cpu trainer.max_epochs=1 trainer.log_every_n_steps=1 callbacks.pinned=null optimizer.lr=0.01
scheduler=constant loader.tokens_per_batch=265 loader.cache_dir=cache
""".split()  # noqa: SIM905
"""With that budget there is an even number of batches: two processes do not have to cut one in halves."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    pairs = sentences("val")[:300]
    for split, (start, end) in {"train": (0, 200), "val": (200, 250), "test": (250, 300)}.items():
        for kind in ("source", "target", "links"):
            (folder / f"{split}.{kind}").write_text("".join(f"{getattr(pair, kind)}\n" for pair in pairs[start:end]))
    return folder


@pytest.fixture(scope="module")
def train(folder: Path) -> Callable[..., str]:
    """`train(*TOGETHER, launcher=TORCHRUN)`: what the command printed."""
    names = [
        f"data.{split}.{kind}={split}.{kind}"
        for split in ("train", "val", "test")
        for kind in ("source", "target", "links")
    ]

    def run(*overrides: str, launcher: list[str] | None = None) -> str:
        arguments = ["train", *SETTINGS, *names, *overrides]
        if not set(TOGETHER) & set(overrides):  # one process: this one, which has imported all that takes time
            said = _command(*arguments, folder=folder)
            assert said.status == 0, said.err
            return said.out + said.err
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *(launcher or []), "-m", "seq2seq", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def runs(folder: Path, train: Callable[..., str]) -> tuple[Path, Path]:
    """One process that accumulates two batches, and two processes."""
    train("trainer.accumulate_grad_batches=2", "hydra.run.dir=one")
    train(*TOGETHER, "hydra.run.dir=two", launcher=TORCHRUN)
    return folder / "one", folder / "two"


def test_losses_and_scores_of_two_processes_are_those_of_one_with_both_batches(runs: tuple[Path, Path]) -> None:
    one, two = (read_curves(run).scalars for run in runs)
    assert one.keys() == two.keys() and len(one["train/loss"].values) > 5
    for name in ("train/loss", "train/perplexity", "train/gradient_norm", *(n for n in one if n.startswith("val/"))):
        assert two[name].steps == one[name].steps
        assert two[name].values == pytest.approx(one[name].values, rel=1e-5, abs=1e-6), name
    assert "val/bleu" in one and "val/aer" in one


def test_final_scores_of_two_processes_are_those_of_one(runs: tuple[Path, Path]) -> None:
    one, two = (json.loads((run / "metrics.json").read_text()) for run in runs)
    same = [
        name
        for name in one
        if name.startswith(("val/", "test/")) and "seconds" not in name and "per_second" not in name
    ]
    assert len(same) > 20
    for name in same:
        assert two[name] == pytest.approx(one[name], rel=1e-5, abs=1e-6), name
    assert (two["steps"], two["parameters"]) == (one["steps"], one["parameters"])
    for name in ("sentences-val.jsonl", "sentences-test.jsonl"):
        assert (runs[0] / name).read_text() == (runs[1] / name).read_text()


def test_one_writer(runs: tuple[Path, Path]) -> None:
    one, two = (sorted(file.name for file in run.iterdir() if "tfevents" not in file.name) for run in runs)
    assert one == two
    assert len(list(runs[1].glob("events*"))) == len(list(runs[0].glob("events*")))
    assert (runs[1] / "train.log").read_text().count("training pairs") == 1


def test_each_example_comes_once_and_the_steps_are_equal(runs: tuple[Path, Path]) -> None:
    progress = [torch.load(run / "checkpoints" / "last.ckpt")["TranslationDataModule"]["progress"] for run in runs]
    (one, two) = (found["taken"] for found in progress)
    assert one[0][0] == 2 * two[0][0] and two[0][1] == 2


def test_processes_that_lightning_starts_use_one_folder_a_variant(folder: Path, train: Callable[..., str]) -> None:
    """Each variant has processes of its own: after the first there is nothing that the second could take for them."""
    said = train(*TOGETHER, "variants=['label=-one','label=-two']", "trainer.limit_train_batches=2")
    for name in ("one", "two"):
        (run,) = (folder / "outputs" / "text" / f"bahdanau-additive-{name}-s1").iterdir()
        assert (run / "metrics.json").exists()
    assert said.count("training pairs") == 2


def test_script_has_other_processes_started_as_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as itself: each would do all that the script does."""
    monkeypatch.setattr(sys, "argv", ["mine.py", "train"])
    with as_program():
        command = subprocess_script._basic_subprocess_cmd()
    assert list(command) == [sys.executable, "-m", "seq2seq.__main__", "train"]


def test_processes_of_torchrun_use_one_folder_and_go_on_with_another_number_of_them(
    folder: Path, train: Callable[..., str]
) -> None:
    some = ["label=-shared", "trainer.max_epochs=2"]
    train(*TOGETHER, *some, "trainer.max_steps=7", launcher=TORCHRUN)
    (run,) = (folder / "outputs" / "text" / "bahdanau-additive-shared-s1").iterdir()
    before = torch.load(run / "checkpoints" / "last.ckpt")
    assert before["TranslationDataModule"]["progress"]["taken"] == [[7, 2, 265]]
    train(*some, f"resume={run}")
    after = torch.load(run / "checkpoints" / "last.ckpt")
    assert after["epoch"] == 2 and after["global_step"] > before["global_step"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["epochs"] == 2


def test_sharded_strategy_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning refuses it without a GPU; what it is built from is checked with that refusal taken away."""
    monkeypatch.setattr(accelerator_connector._AcceleratorConnector, "_check_strategy_and_fallback", _pass)
    config = compose_defaults("train", ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=1"])
    config.callbacks, config.logger, config.output = {}, None, str(tmp_path)
    assert isinstance(build_trainer(config).strategy, FSDPStrategy)


def _pass(*_: Any) -> None: ...
