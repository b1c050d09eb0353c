"""`seq2seq explain`: a table, figures and numbers, whole or not at all; and the page's example in Python."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from seq2seq.attribution import Explanation
from seq2seq.cli.explain import write_folder
from seq2seq.config_files import choices_of

Command = Callable[..., Any]
SOURCE, TARGET = "source=the wolf slept", "target=der Wolf schlief"
METHODS = choices_of("method")
OF_LAYERS = ("alti", "rollout", "value_zeroing")
PAGE = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")


def refused(said: Any, folder: Path, *parts: str) -> None:
    """Check that there is one line with all parts, and no folder."""
    assert said.status == 1 and said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    assert [part for part in parts if part not in said.err] == [], said.err
    assert not (folder / "why").exists()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_a_transformer(command: Command, transformer: Any, tmp_path: Path, method: str) -> None:
    options = [f"checkpoint={transformer.best}", SOURCE, TARGET, f"method={method}", "output=why", "figures=[png]"]
    said = command("explain", *options)
    assert (said.status, said.err) == (0, ""), said.err
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{method}: ") and lines[-1] == f"why/{method}.json"
    data = json.loads((tmp_path / "why" / f"{method}.json").read_text(encoding="utf-8"))
    assert data["method"] == method
    assert data["source"] == ["the", "wolf", "slept", "</s>"] and data["prefix"] == ["<s>", "der", "Wolf", "schlief"]
    assert [step["word"] for step in data["steps"]] == ["der", "Wolf", "schlief", "</s>"]
    assert all(0 <= step["source_share"] <= 1 for step in data["steps"])
    assert {len(step["source"]) for step in data["steps"]} == {4}
    with Image.open(tmp_path / "why" / f"{method}.png") as picture:
        assert picture.width > 100
    assert [path.name for path in tmp_path.iterdir()] == ["why"]
    assert len(list((tmp_path / "why").iterdir())) == 2


@pytest.mark.parametrize("method", METHODS)
def test_recurrent_model_has_a_method_or_is_told_which_it_has(
    command: Command, bahdanau: Any, tmp_path: Path, method: str
) -> None:
    said = command("explain", f"checkpoint={bahdanau.best}", SOURCE, TARGET, f"method={method}", "output=why")
    if method in OF_LAYERS:
        refused(said, tmp_path, f"method={method}", "RecurrentEncoder", "method=erasure")
    else:
        assert said.status == 0 and (tmp_path / "why" / f"{method}.svg").exists()


def test_without_a_target_it_is_the_models_own(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    options = [f"checkpoint={bahdanau.best}", "search.max_length=6"]
    said = command("explain", *options, SOURCE, "output=why", "figures=[]")
    translated = command("translate", *options, stdin=b"the wolf slept\n")
    data = json.loads((tmp_path / "why" / "erasure.json").read_text(encoding="utf-8"))
    assert said.status == 0 and data["target_text"] == translated.out.strip()


def test_contrast_says_why_this_and_not_that(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    said = command("explain", f"checkpoint={bahdanau.best}", SOURCE, TARGET, "contrast=die", "at=1", "output=why")
    assert said.status == 0 and "der - die: " in said.out
    assert (tmp_path / "why" / "erasure-contrast.png").exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["source="], ["source", "empty"]),
        (["source= "], ["source is empty"]),
        ([SOURCE, "target= "], ["target is empty"]),
        ([SOURCE, "target=der ж"], ["target", "cannot say 'ж'"]),
        ([SOURCE, TARGET, "method=nothing"], ["nothing", "erasure"]),
        ([SOURCE, TARGET, "at=2"], ["at=2", "contrast"]),
        ([SOURCE, TARGET, "contrast=die", "at=x"], ["at=x"]),
        ([SOURCE, TARGET, "unit=letters"], ["unit=letters"]),
        ([SOURCE, TARGET, "figures=[gif]"], ["figures=", "png"]),
        ([SOURCE, TARGET, "method=integrated_gradients", "method.tolerance=0"], ["method.tolerance=0"]),
        ([SOURCE, TARGET, "loader.tokens_per_batch=0"], ["loader.tokens_per_batch=0"]),
    ],
)
def test_mistake_is_one_line(
    command: Command, bahdanau: Any, tmp_path: Path, options: list[str], parts: list[str]
) -> None:
    refused(command("explain", f"checkpoint={bahdanau.best}", *options, "output=why"), tmp_path, *parts)


def test_checkpoint_whose_name_is_not_in_utf_8_is_named(tmp_path: Path) -> None:
    numbers = torch.ones(1, 1)
    made = Explanation(
        method="erasure", meaning="", contrast=False, signed=True, source=["</s>"], prefix=["<s>"], target=["</s>"],
        from_source=numbers, from_prefix=numbers, log_probability=numbers[0], gap=None, remark="", source_text="",
        target_text="",
    )  # fmt: skip
    write_folder(tmp_path / "why", made, "caf\udce9.ckpt", [])
    assert json.loads((tmp_path / "why" / "erasure.json").read_text())["checkpoint"] == "caf\udce9.ckpt"


def test_place_where_nothing_can_be_written_is_refused_first(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = command("explain", "checkpoint=none.ckpt", SOURCE, TARGET, "output=file/why")
    refused(said, tmp_path, "output=file/why", "is a file")


def test_pages_example_runs(bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code and code[1].count("\n") <= 12
    os.symlink(bahdanau.best, tmp_path / "best.ckpt")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code[1], names)
    assert names["explanation"].source_share.shape == (len(names["explanation"].target),)


def test_page_names_every_method() -> None:
    named = set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE))
    assert named == set(METHODS)
