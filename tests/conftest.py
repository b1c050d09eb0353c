"""Fixtures of every test: one thread, one seed; scripts as from the command line; models that nobody has trained."""

import gc
import random
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from seq2seq.build import build_model
from seq2seq.checkpoint import KEY, MODEL_PREFIX, AlignmentChoice, pack
from seq2seq.cli.process.native import read_yaml_in_c
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.options import compose_defaults
from tests import quick_hydra

quick_hydra.hasten()  # here already: parameters of tests are composed while they are collected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files of this folder first: their tests are few and long, and nobody is to wait for them in the end."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(scope="session", autouse=True)
def rare_collections() -> Iterator[None]:
    """Look for garbage seldom, and not among what stays, libraries and tests: it takes 10 % of the time, not 14 %."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors are fastest on one thread, here and in the commands that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def heard_signals() -> Iterator[None]:
    """Under nohup a closed terminal is ignored, here and by the commands that tests start; tests close some."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session", autouse=True)
def c_yaml() -> None:
    """Read YAML as the command line does, from the first test on."""
    read_yaml_in_c()


@pytest.fixture(autouse=True)
def seed() -> int:
    """Every test starts from the same random numbers, whichever tests ran before it."""
    value = 1
    random.seed(value)
    np.random.seed(value)
    torch.default_generator.manual_seed(value)  # `torch.manual_seed` notes, for GPUs, where it is called from: 1.4 ms
    return value


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`script("soak.py", "--help")`: status, output and errors of a script, run in this process: it starts at once."""
    folder = Path(__file__).parents[1] / "scripts"

    def run(name: str, *arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.syspath_prepend(folder)
        status = 0
        try:
            runpy.run_path(str(folder / name), run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        return (status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`untrained(lines, "model=luong", vocab_size=60)`: the checkpoint of a tiny model with random weights.

    Its tokenizer is made of the lines.
    """

    def save(lines: list[str], *overrides: str, vocab_size: int, alignment: AlignmentChoice | None = None) -> Path:
        options = ["output=none", "model.d_model=16", "model.d_embedding=16", "loader.max_length=60", *overrides]
        config = compose_defaults("train", options)
        proto = train_tokenizer(
            lines,
            TokenizerConfig(
                model_type="bpe",
                vocab_size=vocab_size,
                joint=True,
                sampling=0.0,
                normalization="nfc",
                character_coverage=1.0,
                input_sentence_size=0,
            ),
        )
        tokenizer = Tokenizer(proto)
        torch.manual_seed(1)
        weights = build_model(config, Tokenizers(tokenizer, tokenizer)).state_dict()
        plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
        file = tmp_path_factory.mktemp("untrained") / "model.ckpt"
        state = {f"{MODEL_PREFIX}{name}": weight for name, weight in weights.items()}
        torch.save({KEY: pack(plain, [proto], alignment), "state_dict": state}, file)
        return file

    return save
