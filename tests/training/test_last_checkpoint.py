"""A checkpoint's file is whole or the one before; what was logged after it is taken back."""

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from seq2seq.errors import Interrupted, UserError
from seq2seq.training import last_checkpoint
from seq2seq.training.last_checkpoint import (
    SIGNALS,
    WHERE_NOBODY_LISTENS,
    CheckpointFiles,
    LastCheckpoint,
    rewind_events,
)
from seq2seq.training.loggers import appended_files


def test_checkpoint_appears_whole_and_keeps_the_one_before(tmp_path: Path) -> None:
    files = CheckpointFiles()
    for number in range(3):
        files.save_checkpoint({"number": number}, tmp_path / "new" / "last.ckpt")
    found = {file.name: torch.load(file)["number"] for file in (tmp_path / "new").iterdir()}
    assert found == {"last.ckpt": 2, "previous.ckpt": 1}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_disk_that_is_full_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    files = CheckpointFiles()
    files.save_checkpoint({"number": 1}, tmp_path / "best.ckpt")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError, match=r"cannot write .*best.ckpt \(No space left on device\).*; make some room$"):
        files.save_checkpoint({"number": 2}, tmp_path / "best.ckpt")
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]
    assert torch.load(tmp_path / "best.ckpt") == {"number": 1}


def test_kill_while_writing_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment is there neither a last nor a previous checkpoint that is whole."""
    files = CheckpointFiles()
    files.save_checkpoint({"number": 1}, tmp_path / "last.ckpt")
    replace, seen = os.replace, []

    def look(source: Any, target: Any) -> None:
        seen.append(whole())
        replace(source, target)
        seen.append(whole())

    def whole() -> list[int]:
        names = ("last.ckpt", "previous.ckpt")
        return [torch.load(tmp_path / name)["number"] for name in names if (tmp_path / name).exists()]

    monkeypatch.setattr(os, "replace", look)
    files.save_checkpoint({"number": 2}, tmp_path / "last.ckpt")
    assert seen == [[1], [1], [1], [2, 1]]


def test_events_after_the_checkpoint_are_taken_back(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as board:
        board.add_scalar("a", 1.0, 0)
        board.flush()
        (file,) = tmp_path.glob("events*")
        size = file.stat().st_size
        board.add_scalar("a", 2.0, 1)
    later = tmp_path / "events.out.tfevents.9.later"
    later.write_bytes(b"of an attempt after it")
    (tmp_path / "other").touch()
    rewind_events(
        appended_files(tmp_path), {"callbacks": {"LastCheckpoint": {"events": {file.name: size, "../elsewhere": 0}}}}
    )
    assert file.stat().st_size == size and not later.exists() and (tmp_path / "other").exists()
    rewind_events(appended_files(tmp_path), {})
    assert [left.name for left in tmp_path.iterdir()] == ["other"]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Bring back what listened to signals."""
    numbers = (*SIGNALS, *WHERE_NOBODY_LISTENS)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_signals_that_would_kill_save_first(tmp_path: Path) -> None:
    quitting = signal.getsignal(signal.SIGQUIT)
    last = LastCheckpoint(folder=str(tmp_path), every_n_steps=None, every_n_minutes=None)
    last._listen()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGXCPU):
        signal.raise_signal(number)
        assert last._signal == number
    assert signal.getsignal(signal.SIGQUIT) == quitting  # it kills at once


@pytest.mark.usefixtures("handlers")
def test_what_nohup_ignores_and_a_launcher_listens_to_stays_so(tmp_path: Path) -> None:
    heard: list[int] = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    last = LastCheckpoint(folder=str(tmp_path), every_n_steps=None, every_n_minutes=None)
    last._listen()
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGUSR2)
    assert last._signal is None and heard == [signal.SIGUSR2]


@pytest.mark.parametrize("options", [{"every_n_steps": 0}, {"every_n_steps": -1}, {"every_n_minutes": 0.0}])
def test_schedule_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"callbacks.last.every_n_\w+=.* must be above 0"):
        LastCheckpoint(**({"folder": "", "every_n_steps": None, "every_n_minutes": None} | options))


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ({"every_n_steps": 3}, [3, 6, 9]),
        ({"every_n_minutes": 1.5}, [2, 4, 6, 8, 10]),
        ({}, []),
    ],
)
def test_schedule_of_steps_or_of_minutes(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], saved: list[int]
) -> None:
    callback = LastCheckpoint(**({"folder": "", "every_n_steps": None, "every_n_minutes": None} | options))
    trainer: Any = SimpleNamespace(global_step=0, world_size=1, accumulate_grad_batches=2, loggers=[])
    found: list[int] = []
    trainer.save_checkpoint = lambda _: found.append(trainer.global_step)
    now = callback._saved_at
    clock = SimpleNamespace(monotonic=lambda: now + 60 * trainer.global_step)
    monkeypatch.setattr(last_checkpoint, "time", clock)  # of this module alone: threads of others go by the real one
    for batch in range(22):  # a minute a step of two batches
        trainer.global_step = batch // 2
        callback.on_train_batch_start(trainer, None, None, batch)  # type: ignore[arg-type]
    assert found == saved


def test_second_ctrl_c_stops_at_once() -> None:
    callback = LastCheckpoint(folder="", every_n_steps=None, every_n_minutes=None)
    callback._on_signal(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        callback._on_signal(signal.SIGINT, None)


def test_interruption_says_where_and_what_to_do() -> None:
    stop = Interrupted(signal.SIGTERM, "step 3")
    assert str(stop) == "stopped by SIGTERM at step 3"
    assert str(stop.saying("a").saying("b")) == "stopped by SIGTERM at step 3; b"
