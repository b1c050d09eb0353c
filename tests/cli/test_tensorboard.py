"""What TensorBoard is started with."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils.tensorboard import SummaryWriter

from seq2seq.cli.tensorboard import tensorboard_command
from seq2seq.errors import UserError


def test_tensorboard_reads_the_runs_and_shows_every_picture(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "events.out.tfevents.1").touch()
    command = tensorboard_command(str(tmp_path), host="localhost", port=7007)
    assert command[1:3] == ["-m", "tensorboard.main"]
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "first").symlink_to(tmp_path / "a")
    assert tensorboard_command(str(tmp_path / "some"), host="localhost", port=7007)[1:3] == command[1:3]
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options["--logdir"] == str(tmp_path) and options["--port"] == "7007"
    assert "images=10000" in options["--samples_per_plugin"]


def test_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run in or below .*seq2seq train"):
        tensorboard_command(str(tmp_path), host="localhost", port=6006)
    with pytest.raises(UserError, match="there is no folder"):
        tensorboard_command(str(tmp_path / "gone"), host="localhost", port=6006)


def test_command_says_in_one_line_that_there_is_nothing_to_open(command: Callable[..., Any]) -> None:
    said = command("tensorboard", "runs=nowhere")
    assert (said.status, said.out) == (1, "")
    assert said.err == "error: there is no folder nowhere; give the one that holds the runs, such as runs=outputs\n"


def test_command_becomes_tensorboard(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events.out.tfevents.1").touch()
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, arguments: started.append([program, *arguments]))
    assert command("tensorboard", "runs=.").status == 0
    assert started[0][0] == started[0][1] and "--logdir" in started[0]


def test_signal_ends_tensorboard_and_its_data_server(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as board:
        board.add_scalar("a", 1.0, 0)
    command = [sys.executable, "-m", "seq2seq", "tensorboard", f"runs={tmp_path}", "port=0"]
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    started = [start(command, tmp_path / f"{number}.log") for number in asked]
    try:
        wait_until(lambda: all("Press CTRL+C" in (tmp_path / f"{n}.log").read_text() for n in asked))
        for process, number in zip(started, asked, strict=True):
            process.send_signal(number)
        for process in started:
            process.wait(60)
        wait_until(lambda: not any(map(lives, started)), seconds=60)
    finally:
        for process in filter(lives, started):
            os.killpg(process.pid, signal.SIGKILL)


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command as a script starts it in the background: in a group of its own, with Ctrl-C ignored."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with log.open("wb") as file:
            return subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, before)


def lives(process: subprocess.Popen[bytes]) -> bool:
    """Return whether anything is left of a process and its children."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], *, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
