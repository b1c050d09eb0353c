"""The command line inside this process, a tiny parallel text, and two small runs that many tests look at."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from seq2seq.cli.main import main
from seq2seq.training import callbacks
from tests.sentences import sentences

TINY = [
    "data=text",
    "tokenizer.vocab_size=200",
    "model.d_model=16",
    "model.d_embedding=16",
    "loader.tokens_per_batch=256",
    "search.max_length=20",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=2",
    "trainer.enable_progress_bar=false",
    "callbacks.progress_bar=null",
    "pinned=[0]",  # a picture is a tenth of a run
]
PICTURES = "pinned=[0,1,2,3]"
QUICK_RISE = ["scheduler.scheduler.warmup_steps=2"]  # the default's rise is longer than a tiny run
ONE_STEP = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "search.max_length=5",
    "callbacks.pinned=null",
    "training.test_splits=[]",
]


@dataclass(frozen=True)
class Said:
    """What a command did: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path

    @property
    def best(self) -> str:
        return str(self.folder / "checkpoints" / "best.ckpt")

    @property
    def metrics(self) -> dict[str, Any]:
        return json.loads((self.folder / "metrics.json").read_text())

    @property
    def config(self) -> DictConfig:
        config = OmegaConf.load(self.folder / "config.yaml")
        assert isinstance(config, DictConfig)
        return config


@contextmanager
def _own_logging() -> Iterator[None]:
    """Take away the handlers that a command puts in place: in a process of its own they would end with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    root.setLevel(logging.WARNING)  # a library that an earlier test imported may have changed it
    try:
        yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers = handlers
        root.setLevel(level)


def _command(*arguments: str, folder: Path, stdin: bytes = b"") -> Said:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, _own_logging(), redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        status = main(list(arguments))
    return Said(status, out.getvalue(), err.getvalue())


def write_text(folder: Path) -> list[str]:
    """Write 40, 10 and 10 pairs of the grammar with their links; return the overrides that name the files."""
    pairs = sentences("val")[:60]
    overrides = []
    for split, (start, end) in {"train": (0, 40), "val": (40, 50), "test": (50, 60)}.items():
        for kind in ("source", "target", "links"):
            file = folder / f"{split}.{kind}"
            file.write_text("".join(f"{getattr(pair, kind)}\n" for pair in pairs[start:end]), encoding="utf-8")
            overrides.append(f"data.{split}.{kind}={file}")
    return overrides


@pytest.fixture(scope="session", autouse=True)
def unmeasured() -> Iterator[None]:
    """Count no operations of a step, and time no product, at the start of each run: that is a third of a tiny one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "step_flops", lambda _: lambda batch: 1.0 * batch.num_tokens)
        patch.setattr(callbacks, "matrix_rate", lambda *_: 1e9)
        yield


@pytest.fixture(autouse=True)
def no_full_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Said]:
    """`command("translate", "checkpoint=...", stdin=b"...")`: a command of `seq2seq`, run in the test's folder."""

    def run(*arguments: str, stdin: bytes = b"") -> Said:
        return _command(*arguments, folder=tmp_path, stdin=stdin)

    return run


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train, val and test, each with .source, .target and .links."""
    folder = tmp_path_factory.mktemp("text")
    write_text(folder)
    return folder


@pytest.fixture(scope="session")
def text(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides for a tiny model on the tiny text; what is cached is shared by all tests."""
    names = [
        f"data.{split}.{kind}={text_folder / f'{split}.{kind}'}"
        for split in ("train", "val", "test")
        for kind in ("source", "target", "links")
    ]
    return [*TINY, *names, f"loader.cache_dir={tmp_path_factory.mktemp('cache')}"]


@pytest.fixture
def train(text: list[str], tmp_path: Path) -> Callable[..., Run]:
    """`train("seed=2", folder="a")`: the run of a tiny model with these overrides, in a folder of the test's."""

    def run(*overrides: str, folder: str = "run") -> Run:
        path = tmp_path / folder
        said = _command("train", *text, f"hydra.run.dir={path}", *overrides, folder=tmp_path)
        assert said.status == 0, said.err
        return Run(path)

    return run


@pytest.fixture
def train_briefly(train: Callable[..., Run]) -> Callable[..., Run]:
    """As `train`, but for two steps, without pictures and without a test."""

    def run(*overrides: str, folder: str = "run") -> Run:
        return train(*ONE_STEP, *overrides, folder=folder)

    return run


def _session_run(text: list[str], tmp_path_factory: pytest.TempPathFactory, *overrides: str) -> Run:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HYDRA_FULL_ERROR", raising=False)
        said = _command("train", *text, *overrides, folder=folder)
    assert said.status == 0, said.err
    (metrics,) = folder.glob("outputs/*/*/*/metrics.json")
    return Run(metrics.parent)


@pytest.fixture(scope="session")
def bahdanau(text: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two epochs; tests only read it."""
    return _session_run(text, tmp_path_factory, PICTURES, *QUICK_RISE)


@pytest.fixture(scope="session")
def transformer(text: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two epochs; tests only read it."""
    heads = ["encoder.num_heads=2", "decoder.num_heads=2", "callbacks.pinned.every_head=[cross,encoder,decoder]"]
    return _session_run(
        text, tmp_path_factory, "model=transformer", "model.num_layers=2", PICTURES, *heads, *QUICK_RISE
    )


@pytest.fixture(scope="session")
def pruned(transformer: Run, text: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checkpoint of that run without 4 of its 12 heads; tests only read it."""
    folder = tmp_path_factory.mktemp("pruned")
    cache = next(override for override in text if override.startswith("loader.cache_dir="))
    said = _command("prune", f"checkpoint={transformer.best}", "heads=8", "output=pruned.ckpt", cache, folder=folder)
    assert said.status == 0, said.err
    return str(folder / "pruned.ckpt")
