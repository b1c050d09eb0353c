"""What TensorBoard is started with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli.tensorboard import tensorboard_command
from seq2seq.errors import UserError


def test_tensorboard_reads_the_runs_and_shows_every_picture(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "events.out.tfevents.1").touch()
    command = tensorboard_command(str(tmp_path), host="localhost", port=7007)
    assert command[1:3] == ["-m", "tensorboard.main"]
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
