"""Output is whole or not there: whatever ends the command in the middle."""

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from seq2seq.cli.process.output import write_whole
from seq2seq.decoding.translator import Translator
from seq2seq.errors import UserError

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("name", "way"), [("translate", "translate"), ("score", "score"), ("align", "align"), ("links", "")]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_in_the_middle_leaves_what_was_there_and_says_so(
    command: Command, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str, number: int
) -> None:
    (tmp_path / "out").write_text("from before\n")
    (tmp_path / "text").write_text("the wolf\nthe wolf\n")

    def interrupted(*_: Any, **__: Any) -> Any:
        if number == signal.SIGINT:  # which shells let their background jobs ignore
            raise KeyboardInterrupt
        os.kill(os.getpid(), number)
        yield from ()

    if way:
        monkeypatch.setattr(Translator, way, interrupted)
    else:
        monkeypatch.setattr("seq2seq.alignment.statistical.align_text", lambda *_, **__: list(interrupted()))
    given = ["input=text"] if name == "translate" else ["source=text", "target=text"]
    checkpoint = [f"checkpoint={bahdanau.best}"] if way else []
    said = command(name, *checkpoint, *given, "output=out")
    who = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    assert (said.status, said.err) == (128 + number, f"{who}; out is as it was before\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "text"]
    assert (tmp_path / "out").read_text() == "from before\n"


def test_failure_leaves_what_a_link_leads_to_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    file.write_text("from before\n")
    link.symlink_to(file)
    with pytest.raises(RuntimeError), write_whole(link) as output:
        output.write("half\n")
        raise RuntimeError
    assert file.read_text() == "from before\n" and list(file.parent.iterdir()) == [file]
    with write_whole(link) as output:
        output.write("whole\n")
    assert link.is_symlink() and file.read_text() == "whole\n" and sorted(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device; make some"),
        (errno.EFBIG, "File too large; give a file in a folder that can be written"),  # as under `ulimit -f`
    ],
)
def test_file_that_takes_no_more_is_named(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(UserError, match=f"cannot write {tmp_path}/out: {said}"), write_whole(tmp_path / "out"):
        raise OSError(number, os.strerror(number))  # a write names no file
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/dev/fd/{}"])
def test_file_behind_a_descriptor_keeps_what_stands_in_it(name: str, tmp_path: Path) -> None:
    stdout = os.dup(1)
    with (tmp_path / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        try:
            os.write(1, b"before\n")
            with write_whole(name.format(log.fileno())) as file:
                file.write("output\n")
            os.write(1, b"after\n")
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)
    assert (tmp_path / "log").read_text() == "before\noutput\nafter\n"


def test_descriptor_that_is_there_to_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("kept")
    with (tmp_path / "input").open() as file:
        name = f"/dev/fd/{file.fileno()}"
        with pytest.raises(UserError, match=f"cannot write {name}: Bad file descriptor"), write_whole(name) as output:
            output.write("new")
    assert (tmp_path / "input").read_text() == "kept"


def test_kill_leaves_no_file_of_the_name(tmp_path: Path) -> None:
    """What is left is hidden, says whose it was, and goes when the file is written next."""

    def killed() -> None:
        with write_whole(tmp_path / "out") as file:
            file.write("half\n")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    child = multiprocessing.get_context("fork").Process(target=killed)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(f".out.{child.pid}-") and left.name.endswith(".part")
    others = [tmp_path / left.name.replace(*pair) for pair in (("out", "out.x"), (str(child.pid), str(os.getppid())))]
    others.append(tmp_path / f".out.{child.pid}-of another host.part")
    (tmp_path / left.name.replace(str(child.pid), "9" * 20)).touch()  # the number of no process
    for other in others:
        other.touch()
    with write_whole(tmp_path / "out") as file:
        file.write("whole\n")
    assert {*tmp_path.iterdir()} == {tmp_path / "out", *others}


def test_threads_that_write_one_file_have_a_part_each(tmp_path: Path) -> None:
    def second() -> None:
        with write_whole(tmp_path / "out") as file:
            file.write("second\n")

    with write_whole(tmp_path / "out") as file:
        file.write("first\n")
        file.flush()
        thread = Thread(target=second)
        thread.start()
        thread.join()
        assert (tmp_path / "out").read_text() == "second\n"
        file.write("to its end\n")
    assert (tmp_path / "out").read_text() == "first\nto its end\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["n" * 255, "ö" * 127])
def test_longest_name_that_a_file_may_have_is_written(tmp_path: Path, name: str) -> None:
    with write_whole(tmp_path / name) as file:
        file.write("whole\n")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "whole\n"


@pytest.mark.parametrize("name", ["evaluate", "explain", "export", "heads", "trust", "visualize"])
def test_folder_that_cannot_be_is_refused_before_a_checkpoint_is_read(
    command: Command, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    more = {"export": ["format=safetensors"], "explain": ["source=x"], "visualize": ["source=x"]}
    said = command(name, "checkpoint=not_there.ckpt", "output=file/out", *more.get(name, []))
    assert (said.status, said.err) == (1, "error: cannot write output=file/out: file is a file; give a folder\n")
