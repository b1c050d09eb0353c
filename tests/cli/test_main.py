"""Commands are found, listed and explained; a mistake is one line, a trace only where it is asked for."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli.main import COMMANDS
from seq2seq.errors import UserError

Command = Callable[..., Any]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_has_one_line_a_command(command: Command, arguments: list[str]) -> None:
    said = command(*arguments)
    assert said.status == 0 and said.err == ""
    for name, what in COMMANDS.items():
        assert [line.split(maxsplit=1) for line in said.out.splitlines() if line.startswith(f"  {name} ")] == [
            [name, what]
        ]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_shows_its_keys_with_their_defaults(command: Command, name: str) -> None:
    said = command(name, "--help")
    assert said.status == 0 and said.err == ""
    keys = {"train": "seed: 1", "aer": "gold_first_index: null", "compare": "split: test", "tensorboard": "port: 6006"}
    keys |= {"average": "output:  (needed)", "export": "output:  (needed)", "links": "aligner: fast_align"}
    keys |= {"import": "target_language: null"}
    key = keys.get(name, "device: auto")
    assert said.out.startswith(f"seq2seq {name}: {COMMANDS[name]}\n\nusage: seq2seq {name} ")
    assert key in [line.partition("  # ")[0].strip() for line in said.out.splitlines()]


def test_help_shows_choices_and_explains_keys_under_the_overrides_given(command: Command) -> None:
    lines = command("train", "model=transformer", "optimizer.lr=0.7", "-h").out.splitlines()
    assert "model bahdanau bottleneck luong [transformer]" in [" ".join(line.split()) for line in lines]
    assert "    lr: 0.7" in lines
    explained = dict(line.split("  # ", 1) for line in lines if "  # " in line)
    explained = {key.rstrip(): comment for key, comment in explained.items()}
    assert explained["    attention_dropout: 0.0"].startswith("above 0 the weights must exist")  # of a group's file
    assert explained["    max_length: 100"].startswith("pieces; longer training pairs")  # not search.max_length's
    assert explained["    max_length: 256"] == "most target tokens"


def test_help_explains_keys_that_a_choice_has_from_another(command: Command) -> None:
    lines = command("train", "callbacks=ema", "--help").out.splitlines()
    assert [line.rpartition("# ")[2] for line in lines if "patience:" in line] == ["validations"]


def test_help_under_a_misspelt_override_names_it(command: Command) -> None:
    said = command("train", "modl=luong", "--help")
    assert (said.status, said.out, said.err) == (1, "", "error: there is no key modl; did you mean model?\n")


@pytest.mark.skipif(sys.version_info[:3] == (3, 13, 0), reason="this Python imports nothing in such a folder")
def test_current_folder_that_has_been_deleted_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.rmdir('../gone'); from seq2seq.cli.main import main; sys.exit(main(['align']))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=tmp_path / "gone", env=environment, capture_output=True, text=True, check=False)
    line = "error: the current folder has been deleted; change to one that is there\n"
    assert (said.returncode, said.stdout, said.stderr) == (1, "", line)


def test_help_and_mistyped_options_do_not_wait_for_pytorch() -> None:
    code = """
import sys
from seq2seq.cli.main import main
for said, *typed in [
    (0, "--help"),
    (0, "model=luong", "--cfg", "job"),
    (1, "foo=1"),
    (1, "+foo=1"),
    (1, "model=nosuch"),
    (1, "optimizer.lr=fast"),
    (1, "--multirun", "seed=1,x"),
    (1, "variants=['score=dot','score=nosuch']"),
]:
    assert main(["train", *typed]) == said, typed
    assert "torch" not in sys.modules, typed
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "typed, meant", [("trian", "train"), ("eval", "evaluate"), ("transalte", "translate"), ("algin", "align")]
)
def test_misspelt_command_names_the_nearest(command: Command, typed: str, meant: str) -> None:
    said = command(typed, "seed=1")
    assert said.status == 2
    assert said.err == f"error: there is no command {typed}; did you mean {meant}?\n"


def test_command_like_no_other_names_them_all(command: Command) -> None:
    said = command("qqqqq")
    assert said.status == 2 and said.err.count("\n") == 1
    assert all(name in said.err for name in COMMANDS)


def test_full_trace_is_shown_where_it_is_asked_for(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError, match="there is no checkpoint absent.ckpt"):
        command("translate", "checkpoint=absent.ckpt")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.Scor", "mine has no Scor; did you mean Score?"),
        ("mien.Score", "there is no module mien here"),
        ("broken.Score", "broken.py cannot be imported: SyntaxError"),
        ("needs.Score", "cannot be imported: ModuleNotFoundError: No module named 'absent_1'"),
        ("seq2seq.attention.Dott", "did you mean seq2seq.attention.Dot?"),
    ],
)
def test_class_of_ones_own_is_looked_for_in_the_present_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    files = {"mine": "class Score: ...", "broken": "def f(:", "needs": "import absent_1"}
    for module, text in files.items():
        (tmp_path / f"{module}.py").write_text(text)
    answer = command("train", "score=dot", f"score._target_={name}").err
    assert answer.startswith(f"error: score._target_={name}: ") and said in answer and answer.count("\n") == 1
    for module in files:
        sys.modules.pop(module, None)


def test_folder_that_is_called_as_a_package_of_pandas_harms_no_command(tmp_path: Path) -> None:
    (tmp_path / "bottleneck").mkdir()  # as after hydra.run.dir=bottleneck
    code = "import seq2seq.cli.main as m; m.main(['translate', 'checkpoint=absent.ckpt']); import pandas"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.startswith("error: there is no checkpoint absent.ckpt"), done.stderr


def test_configuration_is_shown_under_overrides(command: Command) -> None:
    said = command("train", "model=luong", "--cfg", "job")
    assert said.status == 0 and "LuongDecoder" in said.out
