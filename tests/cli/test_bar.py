"""A progress bar where somebody sees it, and nothing elsewhere; one line is answered before the next one comes."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli.process.bar import count_lines, line_bar

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\n\nb", 3), (b"x" * 3_000_000 + b"\n" * 5, 5), (b"\x1f\x8b\n", None)],
)
def test_lines_are_counted_as_they_are_read(tmp_path: Path, content: bytes, lines: int | None) -> None:
    (tmp_path / "in").write_bytes(content)
    assert count_lines(str(tmp_path / "in")) == lines
    os.mkfifo(tmp_path / "pipe")
    assert count_lines(str(tmp_path / "pipe")) is None


@pytest.mark.parametrize(
    ("terminals", "path", "output", "shown"),
    [
        ({"stderr", "stdout"}, "in", "out", True),
        ({"stderr"}, "in", None, True),
        ({"stderr", "stdin"}, "in", "out", True),
        (set(), "in", "out", False),
        ({"stderr", "stdout"}, "in", None, False),
        ({"stderr", "stdin"}, None, "out", False),
    ],
)
def test_bar_is_shown_where_it_is_seen_and_disturbs_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminals: set[str],
    path: str | None,
    output: str | None,
    shown: bool,
) -> None:
    (tmp_path / "in").write_text("a\nb\nc\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    written = []
    for name in ("stdin", "stdout", "stderr"):
        stream = open(tmp_path / name, "w+", encoding="utf-8")  # noqa: SIM115
        monkeypatch.setattr(stream, "isatty", lambda name=name: name in terminals, raising=False)
        monkeypatch.setattr(sys, name, stream)
        written.append(stream)
    with line_bar(path, output) as progress:
        progress(2)
    for stream in written:
        stream.close()
    assert ("2/3" in (tmp_path / "stderr").read_text(encoding="utf-8")) == shown
    assert (tmp_path / "stdout").read_text() == ""


def test_line_is_answered_before_the_next_one_comes(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    """Both pipes are held open: whoever waited for more lines, or kept the answer, would never end."""
    for name in ("in", "out"):
        os.mkfifo(tmp_path / name)
    answers = []

    def person() -> None:
        with open(tmp_path / "in", "w") as asks, open(tmp_path / "out") as answer:
            for line in ("the wolf\n", "\n", "a house\n"):
                asks.write(line)
                asks.flush()
                answers.append(answer.readline())

    thread = threading.Thread(target=person, daemon=True)
    thread.start()
    said = command("translate", f"checkpoint={bahdanau.best}", "search.max_length=6", "input=in", "output=out")
    thread.join(10)
    assert said.status == 0 and len(answers) == 3 and answers[1] == "\n" and all(a.endswith("\n") for a in answers)
