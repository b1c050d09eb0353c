"""Closed, full and forsaken streams: one line, or gone without; text is UTF-8 whatever the environment says."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.cli.process.streams import Output, check_stdin
from seq2seq.errors import UserError

SCORED = "AER 0.0%  precision 100.0%  recall 100.0%\n"


@pytest.fixture
def links(tmp_path: Path) -> list[str]:
    """A command without PyTorch, which starts in half a second."""
    file = tmp_path / "größe.txt"
    file.write_text("0-0 1-1\n")
    return ["aer", f"gold={file}", f"hypothesis={file}"]


def run(arguments: list[str], redirection: str = "", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "seq2seq", *arguments]
    return subprocess.run(
        ["bash", "-c", f'exec "$@" {redirection}', "bash", *command],
        capture_output=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize(
    "redirection, reason",
    [(">&-", "it is closed"), ("<&- >&-", "it is closed"), (">/dev/full", "No space left on device")],
)
def test_stdout_that_cannot_be_written_is_one_line(links: list[str], redirection: str, reason: str) -> None:
    said = run(links, redirection)
    assert said.returncode == 1
    assert said.stderr.decode() == f"error: cannot write to stdout: {reason}\n"


@pytest.mark.parametrize("redirection", ["<&-", "2>&-", "<&- 2>&-"])
def test_streams_that_are_not_needed_may_be_closed(links: list[str], redirection: str) -> None:
    said = run(links, redirection)
    assert (said.returncode, said.stdout.decode(), said.stderr) == (0, SCORED, b"")


def test_error_without_a_stderr_is_a_status_and_does_not_go_elsewhere(links: list[str]) -> None:
    said = run([*links, "gold=absent"], "2>&-")
    assert (said.returncode, said.stdout) == (1, b"")


def test_reader_that_has_gone_ends_a_command_in_silence(links: list[str]) -> None:
    begin, end = os.pipe()
    os.close(begin)
    process = subprocess.run([sys.executable, "-m", "seq2seq", *links], stdout=end, stderr=subprocess.PIPE, check=False)
    os.close(end)
    assert (process.returncode, process.stderr) == (1, b"")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_text_and_names_are_utf8_whatever_the_environment_says(links: list[str], environment: dict[str, str]) -> None:
    assert run(links, **environment).stdout.decode() == SCORED
    said = run([*links, "hypothesis=Maß.txt"], **environment)
    assert said.returncode == 1 and "Maß.txt does not exist" in said.stderr.decode()
    assert "sentences × longest source" in run(["train", "--help"], **environment).stdout.decode()


def test_training_goes_on_without_a_reader(capfd: pytest.CaptureFixture[str]) -> None:
    begin, end = os.pipe()
    output = Output(os.fdopen(end, "w"), errors="strict", patient=True)
    os.close(begin)
    for _ in range(3):
        print("a line", file=output, flush=True)
    assert not output.failed and capfd.readouterr().err == ""
    output.close()


def test_training_that_cannot_write_says_so_once_and_goes_on(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        output = Output(full, errors="strict", patient=True)
        monkeypatch.setattr(sys, "stdout", output)
        for _ in range(3):
            print("a line", flush=True)
        monkeypatch.undo()
        assert output.failed
        assert capfd.readouterr().err == "error: cannot write to stdout: No space left on device\n"


def test_strange_name_of_a_file_is_written_as_it_is() -> None:
    begin, end = os.pipe()
    with os.fdopen(begin, "rb") as reader, os.fdopen(end, "w") as writer:
        output = Output(writer, errors="surrogateescape", patient=False)
        print(os.fsdecode(b"caf\xe9 \xc3\xa9"), file=output, flush=True)
        assert reader.read1() == b"caf\xe9 \xc3\xa9\n"


def test_closed_stdin_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="stdin is closed; give input=FILE"):
        check_stdin()
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    check_stdin()
