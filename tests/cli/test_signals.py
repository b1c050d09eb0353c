"""A signal that comes while nothing is trained ends the training in a line; SLURM is asked for another start."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli import align
from seq2seq.cli.process import signals
from seq2seq.cli.process.signals import ASKING, ending_in_a_line, requeue
from seq2seq.cli.training import run, runs
from seq2seq.errors import interrupt

Command = Callable[..., Any]


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SLURM's, in whose job 17 this is; it writes what it is asked to the file that is returned."""
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    return tmp_path / "asked"


def kill(number: int) -> Callable[..., None]:
    return lambda *_, **__: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP])
def test_signal_before_the_first_step_ends_in_a_line(
    command: Command, text: list[str], scontrol: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """As while a cache is made; by default the process would die without a word, and SLURM end the job."""
    handlers = [signal.getsignal(number) for number in ASKING]
    monkeypatch.setattr(run, "build_data", kill(number))
    said = command("train", *text)
    assert said.status == 128 + number
    line = f"stopped by {number.name}; no step was made: give the same command again"
    assert said.err.splitlines()[-1] == line and "Traceback" not in said.err
    assert scontrol.exists() == (number == signal.SIGUSR1)
    assert [signal.getsignal(number) for number in ASKING] == handlers


def test_signal_after_the_last_step_says_how_to_go_on(
    command: Command, text: list[str], scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_test", kill(signal.SIGUSR1))
    said = command("train", *text, "trainer.max_steps=1", "trainer.limit_val_batches=0", "hydra.run.dir=tested")
    assert said.status == 128 + signal.SIGUSR1
    assert "stopped by SIGUSR1; go on with resume=tested and the same overrides" in said.err
    assert scontrol.read_text() == "requeue 17\n"


def test_ctrl_c_after_the_last_step_says_how_to_go_on(
    command: Command, text: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_test", interrupted)
    said = command("train", *text, "trainer.max_steps=1", "trainer.limit_val_batches=0", "hydra.run.dir=tested")
    assert said.status == 128 + signal.SIGINT
    assert said.err.splitlines()[-1] == "interrupted; go on with resume=tested and the same overrides"


def test_one_of_several_processes_speaks_for_all(
    command: Command, text: list[str], scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setattr(run, "build_data", kill(signal.SIGUSR1))
    said = command("train", *text)
    assert said.status == 128 + signal.SIGUSR1 and "stopped by" not in said.err and not scontrol.exists()


def test_process_that_a_training_has_forked_ends_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """As one that loads data, which is sent the signal along with the training."""
    with ending_in_a_line(training=True):
        child = multiprocessing.get_context("fork").Process(target=kill(signal.SIGUSR1))
        child.start()
        child.join()
    assert child.exitcode == -signal.SIGUSR1 and capfd.readouterr().err == ""


def half_way(number: int) -> Callable[..., None]:
    """Return what a signal stops, and what fails then: OmegaConf, in `finally`, uses what it has not got yet."""

    def fail(*_: Any, **__: Any) -> None:
        try:
            if number == signal.SIGINT:  # which shells let their background jobs ignore
                raise KeyboardInterrupt
            os.kill(os.getpid(), number)
        finally:
            raise AttributeError("'NoneType' object has no attribute 'flags'")

    return fail


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_library_that_fails_as_it_is_stopped_does_not_hide_the_signal(
    command: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(align, "command_config", half_way(number))
    said = command("align")
    line = "interrupted" if number == signal.SIGINT else "stopped by SIGTERM"
    assert (said.status, said.err) == (128 + number, f"{line}\n")


class Ends:
    """An object in whose end a signal comes: Python swallows what is raised there."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0)  # Python hears of it here at the latest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_that_python_swallows_ends_a_command_all_the_same(
    command: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def ending(*_: Any, **__: Any) -> None:
        Ends(number)
        time.sleep(5)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(align, "command_config", ending)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells let background jobs ignore
    try:
        said = command("align")
    finally:
        signal.signal(signal.SIGINT, before)
    line = "interrupted" if number == signal.SIGINT else "stopped by SIGTERM"
    assert (said.status, said.err) == (128 + number, f"{line}\n")


@pytest.mark.parametrize("several", [["variants=['model=luong','model=bottleneck']"], ["-m", "seed=1,2"]])
def test_hidden_signal_ends_all_runs(
    command: Command, text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: list[str]
) -> None:
    monkeypatch.setattr(runs, "run_training", half_way(signal.SIGTERM))
    said = command("train", *text, *several)
    assert said.status == 128 + signal.SIGTERM and said.err.splitlines()[-1].startswith("stopped by SIGTERM; ")
    assert len(list(tmp_path.rglob("train.log"))) == 1 and not list(tmp_path.rglob("error.txt"))


def test_signal_that_is_ignored_stays_ignored() -> None:
    """As SIGHUP is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_in_a_line(training=True):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) == interrupt
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_array_job_is_requeued_by_its_own_number(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(signals.subprocess, "run", lambda command, check: asked.append(command))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    requeue("stopped by SIGUSR1")
    assert asked == []
    for name, value in {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level("WARNING"):
        requeue("stopped by SIGUSR1")
    assert asked == [["scontrol", "requeue", "7_2"]]
    assert caplog.messages == ["stopped by SIGUSR1; SLURM is asked to start job 7_2 again"]


def test_slurm_that_does_not_answer_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("PATH", str(tmp_path))
    requeue("stopped by SIGUSR1")
    assert "job 9 could not be requeued" in caplog.text and os.environ["SLURM_JOB_ID"] == "9"
